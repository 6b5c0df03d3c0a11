"""What every command shares: how it fails, how it answers, how it shows progress, how it opens the portal.

Comes in: a command's work. Leaves: text or one JSON value on standard output; progress and errors on standard error.
"""

import asyncio
import getpass
import json
import logging
import os
import resource
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import IntEnum
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from portal import config
from portal.bootstrap import Portal, open_portal
from portal.core import log
from portal.core.errors import ConfigError, PortalError, Unavailable

_T = TypeVar("_T")
_errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON value, without progress.")]


class Exit(IntEnum):
    """Exit codes. 2 is the parser's: wrong arguments."""

    OK = 0
    FOUND = 1  # fsck found damage
    REFUSED = 3  # not found, not allowed, damaged, or not acceptable
    UNAVAILABLE = 69  # EX_UNAVAILABLE: a part is away; try again
    CONFIG = 78  # EX_CONFIG: the configuration is refused


def run(app: typer.Typer) -> None:
    """Run the program; every foreseen failure is one line on standard error and an exit code."""
    os.umask(0o077)  # what we write is for nobody else,
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # and keys live here
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            _errors.print(f"portal: {problem}")
        sys.exit(Exit.CONFIG)
    except Unavailable as error:
        _errors.print(f"portal: {error}")
        sys.exit(Exit.UNAVAILABLE)
    except PortalError as error:
        _errors.print(f"portal: {error}")
        sys.exit(Exit.REFUSED)
    except OSError as error:
        _errors.print(f"portal: {error.strerror or error}: {error.filename or ''}".rstrip(": "))
        sys.exit(Exit.REFUSED)


def settle(work: Coroutine[Any, Any, _T]) -> _T:
    """Run async work to its end."""
    return asyncio.run(work)


@asynccontextmanager
async def portal() -> AsyncIterator[Portal]:
    """The portal that the environment and `.env` describe. Raises ConfigError, Unavailable."""
    settings, variables = config.load()
    log.configure(logging.WARNING)
    async with open_portal(settings, variables) as opened:
        yield opened


def actor() -> str:
    """Who the audit record says acted: the command line, as this user of the operating system."""
    try:
        return f"system:cli/{getpass.getuser()}"
    except (KeyError, OSError):
        return "system:cli/unknown"


def answer(text: str, value: Any, *, as_json: bool) -> None:
    """The command's answer, for people or for scripts."""
    sys.stdout.write(f"{json.dumps(value) if as_json else text}\n")


@contextmanager
def progress(what: str, total: int | None, *, as_json: bool, in_bytes: bool = True) -> Iterator[Any]:
    """Yields `advance(n)`; a bar on a terminal, nothing elsewhere."""
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
