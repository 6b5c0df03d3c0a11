"""Statements on `data_keys`. Comes in: the caller's connection. Leaves: frozen rows."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db.statements import insert_unless_taken
from portal.keyring.models import DataKeyRow


@dataclass(frozen=True, slots=True)
class WrappedDataKey:
    """A data key as it rests."""

    id: UUID
    scope: str
    provider_key_id: str
    wrapped: bytes = field(repr=False)
    check_value: bytes = field(repr=False)
    created_at: datetime
    retired_at: datetime | None = None


async def find_active(connection: AsyncConnection, scope: str) -> WrappedDataKey | None:
    return await _one(connection, DataKeyRow.scope == scope, DataKeyRow.retired_at == None)  # noqa: E711  # SQL


async def find(connection: AsyncConnection, data_key_id: UUID) -> WrappedDataKey | None:
    return await _one(connection, DataKeyRow.id == data_key_id)


async def add_unless_active(connection: AsyncConnection, row: WrappedDataKey) -> None:
    """Insert `row` unless its scope has an active key already: of two at once, one stays."""
    values = {name: getattr(row, name) for name in WrappedDataKey.__slots__}
    await insert_unless_taken(connection, DataKeyRow, values)


async def retire(connection: AsyncConnection, data_key_id: UUID, moment: datetime) -> None:
    rows: Any = DataKeyRow
    await connection.execute(
        update(DataKeyRow).where(rows.id == data_key_id, rows.retired_at.is_(None)).values(retired_at=moment)
    )


async def _one(connection: AsyncConnection, *where: Any) -> WrappedDataKey | None:
    row = (await connection.execute(select(DataKeyRow).where(*where))).one_or_none()
    return None if row is None else WrappedDataKey(**row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it
