"""`portal users`: accounts from the command line. Passwords come on standard input: others see arguments."""

import sys
from typing import Annotated

import typer

from portal.cli.console import Json, actor, answer, portal, settle
from portal.core.principal import Role
from portal.features.identity.repository import User

app = typer.Typer(help="Accounts.", no_args_is_help=True)


@app.callback()
def users() -> None:
    """Accounts."""


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="1 to 64 characters, no spaces.")],
    *,
    role: Annotated[Role, typer.Option(help="What the account is for.")],
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")],
    as_json: Json = False,
) -> None:
    """Make an account."""
    if not password_stdin:
        raise typer.BadParameter("give the password on standard input, with --password-stdin")
    user = settle(_create(name, role, _password()))
    value = {"id": str(user.id), "name": user.name, "role": user.role.value}
    answer(f"created {user.role.value} {user.name}", value, as_json=as_json)


def _password() -> str:
    # What is not UTF-8 becomes surrogates, and those no password may have.
    return sys.stdin.buffer.readline().decode("utf-8", "surrogateescape").rstrip("\r\n")


async def _create(name: str, role: Role, password: str) -> User:
    async with portal() as opened:
        return await opened.identity.users.create(name, role, password, actor=actor())
