"""Statements on the `data_keys` table. Each takes the caller's connection; reads return `WrappedDataKey` rows.

A row with a value of another type was edited, because SQLite stores any type in any column: reading it raises
IntegrityError. Where many are read it is a `DamagedDataKey`, so that it stops no work on the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, LargeBinary, Result, bindparam, case, delete, func, literal_column, select, update

from portal.backends.keys.base import HEAD_BYTES
from portal.core.errors import IntegrityError
from portal.db.connection import Connection
from portal.db.statements import among, insert_unless_taken, scanning
from portal.db.tables import table
from portal.db.views import checked_rows, types_of
from portal.keyring.models import DataKeyRow


@dataclass(frozen=True, slots=True)
class WrappedDataKey:
    """A row of `data_keys`: a data key as it is stored. `retired_at` is None for a key that seals new files; `uses` is
    about how many it sealed.
    """

    id: UUID
    scope: str
    provider_key_id: str
    wrapped: bytes = field(repr=False)
    check_value: bytes = field(repr=False)
    created_at: datetime
    retired_at: datetime | None = None
    uses: int = 0

    @property
    def head(self) -> bytes:
        return self.wrapped[:HEAD_BYTES]


@dataclass(frozen=True, slots=True)
class DamagedDataKey:
    """A row that was edited: of it only the id is believed."""

    id: UUID
    scope: None = None
    provider_key_id: None = None


DataKeyPage = list[WrappedDataKey | DamagedDataKey]


@dataclass(frozen=True, slots=True)
class WrapCount:
    """The data keys that one version of a master key wraps, which their `head` tells; and when the oldest and the
    newest of those that seal new files were made.
    """

    provider_key_id: str
    head: bytes
    data_keys: int
    oldest_active_at: datetime | None
    newest_active_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewestKey:
    """The version of the first master key that wraps now: its wraps have this `head`."""

    provider_key_id: str
    head: bytes


_keys = table(DataKeyRow)
_head = func.substr(_keys.c.wrapped, literal_column("1"), literal_column(str(HEAD_BYTES)), type_=LargeBinary)
_MADE_ACTIVE = case((_keys.c.retired_at.is_(None), _keys.c.created_at))
_TYPES = types_of(_keys.c)
_COUNT_TYPES = {"provider_key_id": str, "head": bytes, "data_keys": int} | dict.fromkeys(("oldest", "newest"), datetime)
_COUNT = scanning(
    select(
        _keys.c.provider_key_id,
        _head.label("head"),
        func.count().label("data_keys"),
        func.min(_MADE_ACTIVE).label("oldest"),
        func.max(_MADE_ACTIVE).label("newest"),
    )
    .group_by(_keys.c.provider_key_id, _head)
    .order_by(_keys.c.provider_key_id, _head)
)
_ACTIVE = select(_keys).where(_keys.c.scope == bindparam("scope_"), _keys.c.retired_at.is_(None))
_FIND = select(_keys).where(_keys.c.id == bindparam("key"))


async def find_active(connection: Connection, scope: str) -> WrappedDataKey | None:
    """The key of `scope` that is not retired; None if there is none. Raises IntegrityError."""
    return _one(await connection.execute(_ACTIVE, {"scope_": scope}))


async def find(connection: Connection, data_key_id: UUID) -> WrappedDataKey | None:
    """The key with this id, retired or not; None if there is none. Raises IntegrityError."""
    return _one(await connection.execute(_FIND, {"key": data_key_id}))


async def add_unless_active(connection: Connection, row: WrappedDataKey) -> None:
    """Insert `row` unless its scope has an active key. Of two concurrent inserts, one succeeds."""
    values = {name: getattr(row, name) for name in WrappedDataKey.__slots__}
    await insert_unless_taken(connection, DataKeyRow, values)


async def retire(connection: Connection, data_key_id: UUID, moment: datetime) -> None:
    """Mark an active key as retired; a retired key keeps its time."""
    await connection.execute(
        update(_keys).where(_keys.c.id == data_key_id, _keys.c.retired_at.is_(None)).values(retired_at=moment)
    )


async def count_active(connection: Connection, scope: str | None) -> int:
    """The number of active keys: of a scope, or of all."""
    counted = select(func.count()).select_from(_keys).where(_is_active(scope))
    return int((await connection.execute(scanning(counted))).scalar_one())


async def retire_active(connection: Connection, scope: str | None, moment: datetime) -> int:
    """Mark the active key of a scope as retired, or those of all. Returns their number."""
    retiring = update(_keys).where(_is_active(scope)).values(retired_at=moment)
    return (await connection.execute(scanning(retiring))).rowcount


async def retire_each(connection: Connection, data_key_ids: Sequence[UUID], moment: datetime) -> int:
    """Mark those of these keys that are active as retired. Returns their number."""
    active = (among(_keys.c.id, "ids", connection.dialect.name), _is_active(None))
    retiring = update(_keys).where(*active).values(retired_at=moment)
    return (await connection.execute(scanning(retiring), {"ids": list(data_key_ids)})).rowcount


async def of_scope(connection: Connection, scope: str) -> list[WrappedDataKey]:
    """All data keys of a scope, oldest first."""
    found = await connection.execute(scanning(select(_keys).where(_keys.c.scope == scope).order_by(_keys.c.id)))
    return [WrappedDataKey(**row._mapping) for row in found]  # noqa: SLF001  # SQLAlchemy's public name for it


async def destroy(connection: Connection, data_key_ids: Sequence[UUID]) -> None:
    """Delete data keys: what they sealed opens never again."""
    await connection.execute(scanning(delete(_keys).where(_keys.c.id.in_(data_key_ids))))


async def add_uses(connection: Connection, data_key_id: UUID, count: int) -> None:
    """Count more uses of a key."""
    await connection.execute(update(_keys).where(_keys.c.id == data_key_id).values(uses=_keys.c.uses + count))


async def page(connection: Connection, *, after: UUID | None, limit: int) -> DataKeyPage:
    """Data keys, also retired ones: at most `limit`, ordered by id. `after` is the last id of the page before."""
    return await _page(connection, select(_keys), after, limit)


async def under(connection: Connection, provider_key_id: str) -> list[WrappedDataKey]:
    """Every data key that this master key wraps, retired or not."""
    found = await connection.execute(scanning(select(_keys).where(_keys.c.provider_key_id == provider_key_id)))
    return [WrappedDataKey(**row._mapping) for row in found]  # noqa: SLF001  # SQLAlchemy's public name for it


async def wrapped_otherwise(
    connection: Connection, newest: NewestKey, *, after: UUID | None, limit: int
) -> DataKeyPage:
    """The same, of the data keys that anything but the newest version of the first master key wraps."""
    return await _page(connection, select(_keys).where(_otherwise(newest)), after, limit)


async def count_wrapped_otherwise(connection: Connection, newest: NewestKey) -> tuple[int, int]:
    """The number of these data keys, and of their scopes."""
    counted = select(func.count(), func.count(_keys.c.scope.distinct())).where(_otherwise(newest))
    data_keys, scopes = (await connection.execute(scanning(counted))).one()
    return int(data_keys), int(scopes)


async def count_wraps(connection: Connection) -> list[WrapCount]:
    """All data keys, counted by the version of the master key that wraps them. Raises IntegrityError."""
    return [WrapCount(*row.values()) for row in checked_rows(await connection.execute(_COUNT), _COUNT_TYPES)]


async def count(connection: Connection) -> int:
    """The number of all data keys."""
    return int((await connection.execute(scanning(select(func.count()).select_from(_keys)))).scalar_one())


async def is_used(connection: Connection, provider_key_id: str) -> bool:
    """Whether a master key wraps a data key."""
    wraps = select(_keys.c.id).where(_keys.c.provider_key_id == provider_key_id).limit(1)
    return (await connection.execute(scanning(wraps))).first() is not None


async def replace_wrap(connection: Connection, old: WrappedDataKey, new: WrappedDataKey) -> bool:
    """Replace the wrapped key of a row by `new`. False if the row no longer contains `old`; nothing is changed then."""
    done = await connection.execute(
        update(_keys)
        .where(_keys.c.id == old.id, _keys.c.wrapped == old.wrapped)
        .values(provider_key_id=new.provider_key_id, wrapped=new.wrapped, retired_at=new.retired_at)
    )
    return done.rowcount == 1


def _otherwise(newest: NewestKey) -> ColumnElement[bool]:
    same: ColumnElement[bool] = (_keys.c.provider_key_id == newest.provider_key_id) & (_head == newest.head)
    return ~same


def _is_active(scope: str | None) -> ColumnElement[bool]:
    active: ColumnElement[bool] = _keys.c.retired_at.is_(None)
    return active if scope is None else active & (_keys.c.scope == scope)


async def _page(connection: Connection, keys: Any, after: UUID | None, limit: int) -> DataKeyPage:
    wanted = keys if after is None else keys.where(_keys.c.id > after)
    wanted = scanning(wanted.order_by(_keys.c.id).limit(limit))
    try:
        return list(_rows(await connection.execute(wanted)))
    except IntegrityError:
        ids = await connection.execute(wanted.with_only_columns(_keys.c.id))
        return [await _found_or_damaged(connection, data_key_id) for data_key_id in ids.scalars().all()]


async def _found_or_damaged(connection: Connection, data_key_id: UUID) -> WrappedDataKey | DamagedDataKey:
    try:
        return await find(connection, data_key_id) or DamagedDataKey(data_key_id)
    except IntegrityError:
        return DamagedDataKey(data_key_id)


def _rows(found: Result[Any]) -> list[WrappedDataKey]:
    return [WrappedDataKey(**row) for row in checked_rows(found, _TYPES)]


def _one(found: Result[Any]) -> WrappedDataKey | None:
    rows = _rows(found)
    return rows[0] if rows else None
