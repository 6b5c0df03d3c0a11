"""The revision of the database schema: migrate a database to this release's revision, or read its revision.

Comes in: an engine. Leaves: a migrated database. Alembic is synchronous: it runs through the connection's `run_sync`.
Raises DatabaseAway and ConfigError, with the reason. Of two upgrades at once, one waits for the other.

Only a migration imports Alembic, which takes as long as a fifth of all other imports: every start reads the revision.
"""

from sqlalchemy import Connection, inspect, text

from portal.core.errors import ConfigError
from portal.core.package_data import migrations
from portal.db.connection import Engine
from portal.db.reasons import explained

_REVISION = text("SELECT version_num FROM alembic_version")
_USED = text("SELECT EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM data_keys)")


async def upgrade(engine: Engine, revision: str = "head") -> None:
    """Apply the missing migrations. Safe to repeat: a migration that was interrupted starts again."""
    with explained(engine.url):
        async with engine.write() as connection:
            await connection.run_sync(_run, "upgrade", revision)


async def downgrade(engine: Engine, revision: str) -> None:
    """Undo migrations down to `revision` (`base` for an empty database). Deletes the data in removed tables."""
    with explained(engine.url):
        async with engine.write() as connection:
            await connection.run_sync(_run, "downgrade", revision)


async def revision_of(engine: Engine) -> str | None:
    """The database's revision; None if it has no tables."""
    with explained(engine.url):
        async with engine.read() as connection:
            return await connection.run_sync(_revision)


async def is_used(engine: Engine) -> bool:
    """Whether a database with tables has an account or a data key: then it needs the keys that it was created with."""
    with explained(engine.url):
        async with engine.read() as connection:
            return bool(await connection.scalar(_USED))


def newest_revision() -> str:
    """The revision that this release needs. The files of the migrations begin with their revisions, in one order."""
    return max(path.name.partition("_")[0] for path in migrations().glob("versions/*_*.py"))


async def require_current(engine: Engine) -> None:
    """Raises ConfigError unless the database is exactly at this release's revision."""
    found, wanted = await revision_of(engine), newest_revision()
    if found != wanted:
        state = "has no tables yet" if found is None else f"is at revision {found}, this release wants {wanted}"
        raise ConfigError(f"the database {state}: run `portal db upgrade`")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(_REVISION).scalar_one_or_none()
    return found


def _run(connection: Connection, verb: str, revision: str) -> None:
    from alembic.config import Config  # noqa: PLC0415  # see above

    from alembic import command  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(migrations()))
    getattr(command, verb)(config, revision)
