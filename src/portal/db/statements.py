"""Statements that both dialects spell alike but keep in different places."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_unless_taken(
    connection: AsyncConnection, table: Any, values: dict[str, Any], *, unique: Sequence[str] | None = None
) -> bool:
    """Insert one row; False where a unique constraint (`unique` columns, or any) has its place taken already."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values(values).on_conflict_do_nothing(index_elements=unique)
    return (await connection.execute(statement)).rowcount == 1
