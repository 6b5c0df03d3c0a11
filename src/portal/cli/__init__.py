"""The command line: the same services without HTTP.

Comes in: arguments. Leaves: text, or JSON for scripts, and an exit code (`program.Exit`).
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from portal.cli.program import Commands, run
from portal.sources import use_env_file

app = typer.Typer(
    name="portal",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="For example: portal init; portal serve --port 9000; portal users create alice --role analyst. "
    "The guide for operators is docs/operate.md.",
)


def _version(*, wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"portal {version('portal')}\n")
        raise typer.Exit


@app.callback()
def everything(
    *,
    env_file: Annotated[
        Path | None,
        typer.Option(help="Read this file instead of .env; its relative paths begin at its folder.", metavar="PATH"),
    ] = None,
    _: Annotated[
        bool,
        typer.Option("--version", callback=lambda wanted: _version(wanted=wanted), is_eager=True, help="Say which."),
    ] = False,
) -> None:
    """An encrypted file portal."""
    if env_file is not None:
        use_env_file(env_file)


def main() -> None:
    """The `portal` program."""
    run(app)
