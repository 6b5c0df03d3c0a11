"""The command line: the same services without HTTP. Comes in: arguments. Leaves: text, or JSON for scripts, and an exit
code that means something (`console.Exit`).
"""

from pathlib import Path
from typing import Annotated

import typer

from portal.cli import files, keys, openapi, serve, setup, stores, upkeep, users
from portal.cli.console import run
from portal.sources import use_env_file

app = typer.Typer(
    name="portal",
    help="An encrypted file portal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def everything(
    env_file: Annotated[
        Path | None, typer.Option(help="Read this file instead of .env; its relative paths begin at its folder.")
    ] = None,
) -> None:
    """An encrypted file portal."""
    if env_file is not None:
        use_env_file(env_file)


app.command("init")(setup.init)
app.command("serve")(serve.serve)
app.command("sweep")(upkeep.sweep)
app.command("fsck")(upkeep.fsck)
app.command("openapi")(openapi.openapi)
app.command("rescue")(files.rescue)
app.add_typer(setup.db, name="db")
app.add_typer(users.app, name="users")
app.add_typer(files.app, name="files")
app.add_typer(keys.app, name="keys")
app.add_typer(stores.app, name="stores")


def main() -> None:
    """The `portal` program."""
    run(app)
