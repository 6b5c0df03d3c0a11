"""Helpers of all commands: print a result, show progress, open the portal.

Comes in: a command's work. Leaves: text or one JSON value on standard output; progress and errors on standard error.
"""

import asyncio
import getpass
import json
import logging
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from portal.core.errors import NotFound
from portal.core.unicode_safety import visible

if TYPE_CHECKING:  # imported where a portal is opened: `rescue` and every help text open none
    from portal.bootstrap import Portal

_T = TypeVar("_T")
_WIDE = 400
_errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON value, without progress.")]


def run_async(work: Coroutine[Any, Any, _T]) -> _T:
    """Run async work to its end."""
    return asyncio.run(work)


@asynccontextmanager
async def portal(*, database_only: bool = False) -> "AsyncIterator[Portal]":
    """The portal that the environment and `.env` describe. Raises ConfigError, Unavailable.

    With `database_only` it opens while a key provider, a store or a scanner is away.
    """
    from portal import config  # noqa: PLC0415  # see above
    from portal.bootstrap import open_portal  # noqa: PLC0415
    from portal.core import log  # noqa: PLC0415

    settings, variables = config.load()
    log.configure(logging.WARNING)
    async with open_portal(settings, variables, database_only=database_only) as opened:
        yield opened


def actor() -> str:
    """The actor in the audit log: the command line, with the name of the operating system's user."""
    try:
        return f"system:cli/{getpass.getuser()}"
    except (KeyError, OSError):
        return "system:cli/unknown"


@contextmanager
def named(what: str) -> Iterator[None]:
    """Replace a NotFound by one that says `what`: unlike an API caller, the operator may know what is missing."""
    try:
        yield
    except NotFound:
        raise NotFound(what) from None


def print_result(text: str, value: Any, *, as_json: bool) -> None:
    """Print the command's result: `text`, or `value` as JSON."""
    sys.stdout.write(f"{json.dumps(value) if as_json else visible(text)}\n")


def table(head: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> str:
    """Rows as text in columns. Lines are folded at a terminal's width; elsewhere at _WIDE characters."""
    made = Table(box=None, pad_edge=False, show_header=head is not None, header_style="bold")
    for name in head or rows[0]:
        made.add_column(name if head else "", overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))  # as Text: a cell is never read as markup
    out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else _WIDE)
    with out.capture() as captured:
        out.print(made)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


@contextmanager
def progress(what: str, total: int | None, *, as_json: bool, in_bytes: bool = True) -> Iterator[Any]:
    """Show a progress bar on a terminal, and nothing elsewhere. Yields `advance(n)`."""
    columns = [DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()] if in_bytes else []
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *(columns or [TextColumn("{task.completed}/{task.total}")]),
        console=_errors,
        disable=as_json or not _errors.is_terminal,
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda amount: bar.advance(task, amount)
