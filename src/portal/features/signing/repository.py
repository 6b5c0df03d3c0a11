"""Statements on `signing_keys`, in the caller's transaction. Rows are returned as frozen views."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import insert, select, update

from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.db.views import view_of
from portal.features.signing.models import SigningKeyRow

_keys = table(SigningKeyRow)
_LIVE = _keys.c.retired_at.is_(None)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key. `sealed` is None as soon as it is retired."""

    id: str
    public: bytes
    created_at: datetime
    retired_at: datetime | None = None
    sealed: bytes | None = field(default=None, repr=False)


_SELECT = scanning(select(*(_keys.c[name] for name in SigningKey.__slots__)))  # a row for each rotation


async def add(connection: Connection, key: SigningKey) -> None:
    await connection.execute(insert(_keys).values({name: getattr(key, name) for name in SigningKey.__slots__}))


async def live(connection: Connection) -> SigningKey | None:
    """The key that is not retired."""
    row = (await connection.execute(_SELECT.where(_LIVE))).mappings().one_or_none()
    return None if row is None else view_of(SigningKey, row)


async def everyone(connection: Connection) -> list[SigningKey]:
    """All keys, newest first."""
    found = await connection.execute(_SELECT.order_by(_keys.c.created_at.desc(), _keys.c.id))
    return [view_of(SigningKey, row) for row in found.mappings()]


async def retire(connection: Connection, at: datetime) -> None:
    """Retire the live key, and destroy its private half."""
    await connection.execute(scanning(update(_keys).where(_LIVE).values(retired_at=at, sealed=None)))


async def reseal(connection: Connection, key: SigningKey, sealed: bytes) -> bool:
    """Replace a sealed private half by compare-and-set. False where the stored one is another by now."""
    same = (_keys.c.id == key.id, _keys.c.sealed == key.sealed)
    return (await connection.execute(update(_keys).where(*same).values(sealed=sealed))).rowcount == 1
