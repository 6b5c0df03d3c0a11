"""Statements on `stores`, and on `blobs.store`. Comes in: the caller's connection. Leaves: ids and counts."""

from uuid import UUID

from sqlalchemy import func, select, update
from sqlmodel import column
from sqlmodel import table as table_named

from portal.core import clock
from portal.db.connection import Connection
from portal.db.statements import insert_unless_taken, scanning
from portal.db.tables import table
from portal.stores.models import StoreRow

_stores = table(StoreRow)
_blobs = table_named("blobs", column("store"))  # its model is in the files feature, above this layer


async def known(connection: Connection) -> dict[UUID, str]:
    """The scheme of each store, by store id, in the order in which the stores were added."""
    found = await connection.execute(select(_stores.c.id, _stores.c.scheme).order_by(_stores.c.added_at, _stores.c.id))
    return {row.id: row.scheme for row in found}


async def add(connection: Connection, store_id: UUID, scheme: str) -> None:
    """Add a store. Idempotent."""
    values = {"id": store_id, "scheme": scheme, "added_at": clock.now()}
    await insert_unless_taken(connection, StoreRow, values, unique=["id"])


async def adopt(connection: Connection, store_id: UUID, scheme: str) -> None:
    """Assign blobs to this store that name only its scheme: they were stored before stores had ids."""
    await connection.execute(scanning(update(_blobs).where(_blobs.c.store == scheme).values(store=store_id.hex)))


async def counts(connection: Connection) -> dict[str, int]:
    """The number of blobs of each store, by the text in `blobs.store`: a store id in hex, or IN_ROW."""
    counted = select(_blobs.c.store, func.count()).group_by(_blobs.c.store)
    return {str(store): int(count) for store, count in await connection.execute(scanning(counted))}
