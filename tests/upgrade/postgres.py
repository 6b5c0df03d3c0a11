"""The database of a release on Postgres: its rows, copied from the SQLite file of the fixture.

Comes in: that file, and an empty database that the release's migrations were run on. Leaves: the same rows in it.
"""

import contextlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Connection, DateTime, MetaData, Table, Uuid, insert, text

from portal import schema
from portal.db.connection import Engine


async def copy(source: Path, revision: str, engine: Engine) -> None:
    """Make the tables of that revision, and fill them."""
    await schema.upgrade(engine, revision)
    async with engine.write() as connection:
        await connection.run_sync(_fill, source)


def _fill(connection: Connection, source: Path) -> None:
    tables = MetaData()
    tables.reflect(connection)
    with contextlib.closing(sqlite3.connect(source)) as file:
        file.row_factory = sqlite3.Row
        for table in tables.sorted_tables:
            rows = [_values(table, row) for row in file.execute(f'SELECT * FROM "{table.name}"')]  # noqa: S608  # ours
            if rows and table.name != "alembic_version":
                connection.execute(insert(table), rows)
    connection.execute(text("SELECT setval('audit_seq_seq', (SELECT max(seq) FROM audit))"))


def _values(table: Table, row: sqlite3.Row) -> dict[str, Any]:
    return {name: _value(table.c[name].type, row[name]) for name in row.keys()}  # noqa: SIM118  # a row is no dict


def _value(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, Uuid):
        return UUID(value)
    if isinstance(kind, DateTime):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return bool(value) if isinstance(kind, Boolean) else value
