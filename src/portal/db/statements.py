"""Statements that both dialects spell alike but keep in different places.

A statement is made once, values come with each call: building one anew costs as much as SQLite takes to answer it.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_unless_taken(
    connection: AsyncConnection, table: Any, values: dict[str, Any], *, unique: Sequence[str] | None = None
) -> bool:
    """Insert one row; False where a unique constraint (`unique` columns, or any) has its place taken already."""
    statement = _insert(connection.dialect.name, table, tuple(unique or ()))
    return (await connection.execute(statement, values)).rowcount == 1


@cache
def _insert(name: str, table: Any, unique: tuple[str, ...]) -> Any:
    dialect = postgresql if name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing(index_elements=unique or None)
