"""Migrations on both databases: up, down, up again, and equal to what the code declares."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from portal import schema
from portal.core.errors import ConfigError
from portal.tables import metadata


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version", "sqlite_sequence"}


async def test_up_down_up(engine: AsyncEngine) -> None:
    await schema.downgrade(engine, "base")
    async with engine.connect() as connection:
        assert await connection.run_sync(tables) == set()
    await schema.upgrade(engine)
    async with engine.connect() as connection:
        assert await connection.run_sync(tables) == set(metadata.tables)


async def test_migrations_make_exactly_the_declared_tables(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )
    assert differences == []


async def test_upgrade_is_safe_to_repeat(engine: AsyncEngine) -> None:
    await schema.upgrade(engine)
    await schema.require_current(engine)


async def test_an_empty_database_is_refused_with_what_to_do(engine: AsyncEngine) -> None:
    await schema.downgrade(engine, "base")
    with pytest.raises(ConfigError, match="no tables yet: run `portal db upgrade`"):
        await schema.require_current(engine)
