"""`portal init` and `portal db`: from nothing to a portal that can serve.

Comes in: an empty folder, or one where an earlier `init` was cut off. Leaves: `.env` (0600) with fresh keys, a migrated
database, a first administrator whose password is shown once. Each step is taken only where it is still missing.
"""

import logging
import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from portal import config, schema
from portal.bootstrap import open_portal, open_resources
from portal.cli.console import Json, actor, answer, settle
from portal.core import log
from portal.core.principal import Role
from portal.core.shipped import env_example

db = typer.Typer(help="The database's schema.", no_args_is_help=True)
_DOTENV = Path(".env")


def init(
    *,
    admin: Annotated[str, typer.Option(help="Name of the first administrator.")] = "admin",
    as_json: Json = False,
) -> None:
    """Make a portal here: keys in .env, tables, a first administrator."""
    wrote = _write_dotenv()
    password = settle(_migrate_and_add_admin(admin))
    lines = [f"wrote {_DOTENV} with fresh keys: keep a copy of PORTAL_MASTER_KEY elsewhere"] if wrote else []
    if password:
        lines.append(f"administrator: {admin}\npassword:      {password}   (shown this once)")
    answer(
        "\n".join(lines) or "this portal is set up",
        {"wrote_env": wrote, "administrator": admin if password else None, "password": password},
        as_json=as_json,
    )


@db.command("upgrade")
def upgrade(*, as_json: Json = False) -> None:
    """Bring the database up to this release. Safe to repeat."""
    settle(_upgrade())
    answer("the database is current", {"current": True}, as_json=as_json)


@db.command("check")
def check(*, as_json: Json = False) -> None:
    """Say whether the database is at this release's revision."""
    settle(_check())
    answer("the database is current", {"current": True}, as_json=as_json)


def _write_dotenv() -> bool:
    """False where there is a `.env` already. It appears whole, never readable by others."""
    if _DOTENV.exists():
        return False
    text = env_example().read_text("utf-8")
    for name in ("PORTAL_MASTER_KEY", "PORTAL_SECRET_KEY"):
        text = text.replace(f"\n{name}=\n", f"\n{name}={secrets.token_hex(32)}\n")
    partial = _DOTENV.with_name(f".env.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(_DOTENV)
    return True


async def _migrate_and_add_admin(name: str) -> str | None:
    """The new administrator's password; None where there already is an account."""
    await _upgrade()
    settings, variables = config.load()
    async with open_portal(settings, variables) as portal:
        if await portal.identity.users.exist():
            return None
        password = secrets.token_urlsafe(24)
        await portal.identity.users.create(name, Role.ADMIN, password, actor=actor())
        return password


async def _upgrade() -> None:
    settings, variables = config.load()
    log.configure(logging.WARNING)
    resources = open_resources(settings, variables)
    try:
        await resources.store.check()
        await schema.upgrade(resources.database.engine)
    finally:
        await resources.aclose()


async def _check() -> None:
    settings, variables = config.load()
    async with open_portal(settings, variables):
        pass
