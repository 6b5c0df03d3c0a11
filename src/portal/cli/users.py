"""`portal users`: accounts from the command line. Passwords are read from standard input: other users see arguments.

Comes in: names and changes. Leaves: the changed accounts; a one-time secret is shown once.
"""

import sys
from typing import Annotated, Any

import typer

from portal.bootstrap import Portal
from portal.cli.console import Json, actor, named, portal, print_result, run_async
from portal.core.clock import rfc3339
from portal.core.principal import NOWHERE, Role
from portal.features.identity.accounts import UserChanges
from portal.features.identity.registration import OneTime
from portal.features.identity.repository import User, UserFilters
from portal.features.identity.revocation import Counts

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help="The account's name.")]
Everything = Annotated[
    bool, typer.Option("--everything", help="Its API tokens, links, grants and invitations too, for good.")
]
_PAGE = 200


@app.callback()
def users() -> None:
    """Accounts."""


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="1 to 64 characters, no spaces.")],
    *,
    role: Annotated[Role, typer.Option(help="What the account is for.")],
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from a pipe.")] = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Show a one-time secret with which its owner sets a password.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an account. On a terminal the password is asked for, and not shown.

    For example: portal users create alice --role analyst --no-password
    """
    if password_stdin and no_password:
        raise typer.BadParameter("not together with --password-stdin", param_hint="--no-password")
    if no_password:
        user, secret = run_async(_create_without_password(name, role))
        value = {"id": str(user.id), "name": user.name, "role": user.role.value, **_one_time(secret)}
        print_result(f"created {user.role.value} {user.name}\n{_shown_once(secret)}", value, as_json=as_json)
        return
    user = run_async(_create(name, role, _password(from_pipe=password_stdin)))
    value = {"id": str(user.id), "name": user.name, "role": user.role.value}
    print_result(f"created {user.role.value} {user.name}", value, as_json=as_json)


@app.command("list")
def list_users(*, as_json: Json = False) -> None:
    """Every account, newest first."""
    users = run_async(_listed())
    lines = [f"{user.role.value:<10}{_state(user):<10}{user.name}" for user in users]
    print_result("\n".join(lines) or "no accounts", [_told(user) for user in users], as_json=as_json)


@app.command("change")
def change(
    name: Name,
    *,
    role: Annotated[Role | None, typer.Option(help="What the account is for from now on.")] = None,
    disabled: Annotated[bool | None, typer.Option("--disable/--enable", help="Whether it may sign in.")] = None,
    as_json: Json = False,
) -> None:
    """Change an account's role, disable or enable it. Ends its sessions."""
    if role is None and disabled is None:
        raise typer.BadParameter("say what to change: --role, --disable or --enable", param_hint="options")
    user = run_async(_change(name, UserChanges(role, disabled)))
    print_result(f"{user.name} is {user.role.value}, {_state(user)}", _told(user), as_json=as_json)


@app.command("reset")
def reset(
    name: Name,
    *,
    everything: Annotated[
        bool, typer.Option("--everything/--keep", help="Whether its API tokens, links and grants end, too.")
    ] = True,
    as_json: Json = False,
) -> None:
    """End an account's password and sessions; shows the secret with which its owner sets another."""
    made = run_async(_reset(name, everything=everything))
    print_result(_shown_once(made), _one_time(made), as_json=as_json)


@app.command("reset-totp")
def reset_totp(name: Name, *, as_json: Json = False) -> None:
    """Remove an account's authenticator and recovery codes, and end its sessions."""
    run_async(_reset_totp(name))
    print_result(f"{name} signs in without a code", {"name": name}, as_json=as_json)


@app.command("logout")
def logout(name: Name, *, everything: Everything = False, as_json: Json = False) -> None:
    """End every session of an account."""
    counts = run_async(_logout(name, everything=everything))
    told = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())
    ended = f"; ended: {told}" if counts else ""
    print_result(f"{name} is signed out everywhere{ended}", {"name": name, **counts}, as_json=as_json)


@app.command("transfer")
def transfer(
    name: Name,
    *,
    to: Annotated[str, typer.Option(help="The account that gets the files: an analyst's or administrator's.")],
    as_json: Json = False,
) -> None:
    """Transfer the inbox of an account that is disabled, or an auditor's, to another account."""
    files = run_async(_transfer(name, to))
    print_result(f"{files} files of {name} are {to}'s", {"name": name, "to": to, "files": files}, as_json=as_json)


def _state(user: User) -> str:
    return "disabled" if user.disabled_at else "enabled"


def _told(user: User) -> dict[str, Any]:
    return {"id": str(user.id), "name": user.name, "role": user.role.value, "disabled": user.disabled_at is not None}


def _one_time(made: OneTime) -> dict[str, Any]:
    return {"secret": made.secret, "expires_at": rfc3339(made.expires_at)}


def _shown_once(made: OneTime) -> str:
    return f"secret: {made.secret}   (shown this once, good until {rfc3339(made.expires_at)})"


def _password(*, from_pipe: bool) -> str:
    """Read the password. It is never an argument, which other users see, and never shown."""
    if sys.stdin.isatty():
        return str(typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True))
    if not from_pipe:
        raise typer.BadParameter("without a terminal say it, or --no-password", param_hint="--password-stdin")
    # Bytes that are not UTF-8 become surrogates, which no password may contain.
    return sys.stdin.buffer.readline().decode("utf-8", "surrogateescape").rstrip("\r\n")


async def _named(opened: Portal, name: str) -> User:
    with named(f"There is no account named {name!r}."):
        return await opened.identity.users.named(name)


async def _create_without_password(name: str, role: Role) -> tuple[User, OneTime]:
    async with portal(database_only=True) as opened:
        return await opened.identity.accounts.create(actor(), name, role, NOWHERE)


async def _create(name: str, role: Role, password: str) -> User:
    async with portal(database_only=True) as opened:
        return await opened.identity.users.create(name, role, password, actor=actor())


async def _listed() -> list[User]:
    found: list[User] = []
    after = None
    async with portal(database_only=True) as opened:
        while True:
            page = await opened.identity.accounts.page(actor(), UserFilters(), after, _PAGE)
            found += page.items
            after = page.next_after
            if after is None:
                return found


async def _change(name: str, changes: UserChanges) -> User:
    async with portal(database_only=True) as opened:
        user = await _named(opened, name)
        return await opened.identity.accounts.change(actor(), user.id, None, changes, NOWHERE)


async def _reset(name: str, *, everything: bool) -> OneTime:
    async with portal(database_only=True) as opened:
        user = await _named(opened, name)
        return await opened.identity.accounts.reset_password(actor(), user.id, NOWHERE, everything=everything)


async def _reset_totp(name: str) -> None:
    async with portal(database_only=True) as opened:
        user = await _named(opened, name)
        await opened.identity.accounts.reset_totp(actor(), user.id, NOWHERE)


async def _logout(name: str, *, everything: bool) -> Counts:
    async with portal(database_only=True) as opened:
        user = await _named(opened, name)
        if everything:
            return await opened.identity.accounts.end_everything(actor(), user.id, NOWHERE)
        await opened.identity.accounts.end_sessions(actor(), user.id, NOWHERE)
        return {}


async def _transfer(name: str, to: str) -> int:
    async with portal(database_only=True) as opened:
        user = await opened.identity.users.named(name)
        return await opened.files.inboxes.transfer(actor(), user.id, to, NOWHERE)
