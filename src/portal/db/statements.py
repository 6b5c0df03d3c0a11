"""Statements that both dialects spell alike but keep in different places.

A statement is made once, values come with each call: building one anew costs as much as SQLite takes to answer it.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


async def insert_unless_taken(
    connection: AsyncConnection, table: Any, values: dict[str, Any], *, unique: Sequence[str] | None = None
) -> bool:
    """Insert one row; False where a unique constraint (`unique` columns, or any) has its place taken already."""
    statement = _insert(connection.dialect.name, table, tuple(unique or ()))
    return (await connection.execute(statement, values)).rowcount == 1


async def insert_or_lock(
    connection: AsyncConnection, table: Any, values: dict[str, Any], *, unique: Sequence[str]
) -> RowMapping:
    """The row that has these `unique` columns, new or as it was; nobody else changes it until the transaction ends.

    To insert, then to look with a lock, would find nothing where the row is deleted in between.
    """
    statement = _insert_or_touch(connection.dialect.name, table, tuple(unique))
    return (await connection.execute(statement, values)).mappings().one()


async def hold_alone(connection: AsyncConnection, name: str) -> None:
    """Wait for every other transaction that holds this name, and hold it until this one ends.

    On SQLite a transaction that may write is alone from its first statement on.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(_HOLD, {"name": name})


@cache
def _insert_or_touch(name: str, table: Any, unique: tuple[str, ...]) -> Any:
    statement = _dialect(name).insert(table)
    same = {column: statement.excluded[column] for column in unique}
    return statement.on_conflict_do_update(index_elements=unique, set_=same).returning(table)


@cache
def _insert(name: str, table: Any, unique: tuple[str, ...]) -> Any:
    return _dialect(name).insert(table).on_conflict_do_nothing(index_elements=unique or None)


def _dialect(name: str) -> Any:
    return postgresql if name == "postgresql" else sqlite
