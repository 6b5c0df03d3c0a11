"""`portal init` and `portal db`: from nothing to a portal that can serve.

Comes in: an empty folder, or one in which an earlier `init` was interrupted. Leaves: new keys in `.env` (mode 0600) for
those that no source has; a migrated database; a first administrator whose password is shown once. A step that was done
already is skipped, and nothing is written before all settings were accepted.
"""

import logging
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer

from portal import config, roles, schema, sources
from portal.bootstrap import has_database, open_database, open_portal, open_stores
from portal.cli.console import Json, actor, print_result, run_async
from portal.core import log
from portal.core.errors import ConfigError
from portal.core.package_data import env_example
from portal.core.principal import Role
from portal.db.unit_of_work import Database
from portal.settings import Settings

db = typer.Typer(help="The database's schema.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)


def init(
    *,
    admin: Annotated[str, typer.Option(help="Name of the first administrator.", metavar="NAME")] = "admin",
    as_json: Json = False,
) -> None:
    """Make a portal here: missing keys in .env, tables, a first administrator. Safe to repeat."""
    fresh = _fresh_keys()
    run_async(_require_new_database(fresh))
    if fresh:
        _write_env_file(sources.env_file(), fresh)
    password = run_async(_migrate_and_add_admin(admin))
    lines = _told(list(fresh))
    lines += [f"administrator: {admin}\npassword:      {password}   (shown this once)"] if password else []
    print_result(
        "\n".join(lines if fresh or password else [*lines, "this portal is set up"]),
        {"wrote_keys": list(fresh), "administrator": admin if password else None, "password": password},
        as_json=as_json,
    )


@db.command("upgrade")
def upgrade(
    *,
    runtime_role: Annotated[
        str | None,
        typer.Option(help="Let this Postgres role run the portal: it cannot change tables or edit the audit record."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring the database up to this release; create it if there is none. Needs no key. Safe to repeat."""
    run_async(_upgrade(runtime_role))
    print_result("the database is current", {"current": True}, as_json=as_json)


@db.command("check")
def check(*, as_json: Json = False) -> None:
    """Say whether the database is at this release's revision."""
    run_async(_check())
    print_result("the database is current", {"current": True}, as_json=as_json)


def _fresh_keys() -> dict[str, str]:
    """A new value for each key that no source has.

    Raises ConfigError if an empty variable in the environment would hide the new value.
    """
    given = sources.read(os.environ, sources.env_file())
    urls = given["PORTAL_KEY_URLS"].value if "PORTAL_KEY_URLS" in given else ""
    wanted = [*sources.key_variables(urls)[:1], "PORTAL_SECRET_KEY"]  # further master keys are former ones
    missing = [name for name in wanted if name not in given or not given[name].value]
    for name in missing:
        if name in os.environ:
            raise ConfigError(f"{name} is empty in the environment, which hides {sources.env_file()}: unset it")
    return {name: secrets.token_hex(32) for name in missing}


async def _require_new_database(fresh: dict[str, str]) -> None:
    """Raises ConfigError if the settings would be refused, or if the database is in use with other keys already."""
    settings, _ = config.load({**os.environ, **fresh})
    log.configure(logging.WARNING)
    if fresh and await _revision(settings) is not None and await _is_used(settings):
        names = " and ".join(fresh)
        raise ConfigError(f"the database is in use already, but without {names}: give the key it was made with")


async def _revision(settings: Settings) -> str | None:
    """The database's revision; None if there is no database, or it has no tables. Creates nothing."""
    if not has_database(settings):
        return None
    async with aclosing(open_database(settings)) as database:
        return await schema.revision_of(database.engine)


async def _is_used(settings: Settings) -> bool:
    async with aclosing(open_database(settings)) as database:
        return await schema.is_used(database.engine)


def _told(wrote: list[str]) -> list[str]:
    """The lines about keys: those that were written, and the source of each key that existed already."""
    given = sources.read(os.environ, sources.env_file())
    urls = given["PORTAL_KEY_URLS"].value if "PORTAL_KEY_URLS" in given else ""
    keys = [*sources.key_variables(urls), "PORTAL_SECRET_KEY"]
    lines = [f"{name} comes from {given[name].source}{_hidden(given[name])}" for name in keys if name not in wrote]
    if wrote:
        lines.append(f"wrote {' and '.join(wrote)} to {sources.env_file()}")
    lines += [f"keep a copy of {name} elsewhere: without it every file is lost" for name in keys[:1] if name in wrote]
    return lines


def _hidden(given: sources.Given) -> str:
    return f", not the other one in {given.hides}" if given.hides else ""


def _write_env_file(path: Path, values: dict[str, str]) -> None:
    """Fill the keys into their empty lines, or append them. The file is replaced as a whole, and readable by its owner
    only.
    """
    path = path.resolve()
    text = (path if path.exists() else env_example()).read_text("utf-8").rstrip("\n") + "\n"
    for name, value in values.items():
        text, found = re.subn(rf"^{name}=[ \t]*$", f"{name}={value}", text, flags=re.MULTILINE)
        text += "" if found else f"{name}={value}\n"
    partial = path.with_name(f".env.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        if path.exists() and os.geteuid() == 0:
            os.fchown(file.fileno(), path.stat().st_uid, path.stat().st_gid)  # root may run this, the portal reads it
    partial.rename(path)


async def _migrate_and_add_admin(name: str) -> str | None:
    """Migrate, and create the administrator. Returns the password; None if there is an account already."""
    settings, variables = config.load()
    if await _revision(settings) != schema.newest_revision():
        await _upgrade()  # skipped at the current revision: the runtime role may not change tables
    async with aclosing(open_database(settings)) as database:
        await _establish_stores(settings, variables, database)
    async with open_portal(settings, variables) as portal:
        if await portal.identity.users.exist():
            return None
        password = secrets.token_urlsafe(24)
        await portal.identity.users.create(name, Role.ADMIN, password, actor=actor())
        return password


async def _upgrade(runtime_role: str | None = None) -> None:
    settings, variables = config.load(keys=False)
    log.configure(logging.WARNING)
    async with aclosing(open_database(settings)) as database:
        await schema.upgrade(database.engine)
        await _establish_stores(settings, variables, database)
        if runtime_role is not None:
            await roles.let_work(database.engine, runtime_role)


async def _establish_stores(settings: Settings, variables: Mapping[str, str], database: Database) -> None:
    async with aclosing(open_stores(settings, variables)) as stores:
        await stores.establish(database)


async def _check() -> None:
    settings, variables = config.load()
    async with open_portal(settings, variables):
        pass
