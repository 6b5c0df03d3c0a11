"""The revision of the database schema: migrate a database to this release's revision, or read its revision.

Comes in: an engine. Leaves: a migrated database. Alembic is synchronous: it runs through the engine's `run_sync`.
Raises DatabaseAway and ConfigError, with the reason. Of two upgrades at once, one waits for the other.
"""

import asyncio

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from alembic import command
from portal.core.errors import ConfigError
from portal.core.package_data import migrations
from portal.db.reasons import explained

_USED = text("SELECT EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM data_keys)")


async def upgrade(engine: AsyncEngine, revision: str = "head") -> None:
    """Apply the missing migrations. Safe to repeat: a migration that was interrupted starts again."""
    with explained(engine.url):
        async with engine.connect() as connection:
            await connection.run_sync(lambda sync: _run(sync, command.upgrade, revision))


async def downgrade(engine: AsyncEngine, revision: str) -> None:
    """Undo migrations down to `revision` (`base` for an empty database). Deletes the data in removed tables."""
    with explained(engine.url):
        async with engine.connect() as connection:
            await connection.run_sync(lambda sync: _run(sync, command.downgrade, revision))


async def revision_of(engine: AsyncEngine) -> str | None:
    """The database's revision; None if it has no tables."""
    with explained(engine.url):
        async with engine.connect() as connection:
            return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


async def is_used(engine: AsyncEngine) -> bool:
    """Whether a database with tables has an account or a data key: then it needs the keys that it was created with."""
    with explained(engine.url):
        async with engine.connect() as connection:
            return bool(await connection.scalar(_USED))


async def newest_revision() -> str | None:
    """The revision that this release needs."""
    return await asyncio.to_thread(lambda: ScriptDirectory.from_config(_config()).get_current_head())


async def require_current(engine: AsyncEngine) -> None:
    """Raises ConfigError unless the database is exactly at this release's revision."""
    found, wanted = await revision_of(engine), await newest_revision()
    if found != wanted:
        state = "has no tables yet" if found is None else f"is at revision {found}, this release wants {wanted}"
        raise ConfigError(f"the database {state}: run `portal db upgrade`")


def _run(connection: Connection, verb: object, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    verb(config, revision)  # type: ignore[operator]  # alembic.command's functions


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations()))
    return config
