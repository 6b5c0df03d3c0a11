"""Removal: uploads that ended without a file fail on record; the blobs of a file that is gone are destroyed.

Comes in: a file's id. Leaves: rows that say so, and a store without its bytes.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core.principal import NOWHERE, Origin
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.files import repository
from portal.strongbox.model import IN_ROW
from portal.strongbox.strongbox import Strongbox


async def remove_bytes(database: Database, strongbox: Strongbox, file_id: UUID) -> None:
    """Remove every blob of a file that was given up, then forget them. Raises Unavailable; safe to repeat."""
    async with database.read() as connection:
        stored = await repository.stored_blobs(connection, file_id)
    for store_id, key in stored:
        # That a row says it has the bytes itself is no reason to leave any.
        for holder in [store.id.hex for store in strongbox.stores] if store_id == IN_ROW else [store_id]:
            await strongbox.destroy(holder, key)
    async with database.write() as connection:
        await repository.forget_blobs(connection, file_id)


async def fail_expired(
    connection: AsyncConnection, file_id: UUID, lease_before: datetime, actor: str, origin: Origin = NOWHERE
) -> bool:
    """Fail an upload whose lease has expired, on record; its bytes are left. False where the lease was renewed."""
    if not await repository.fail(connection, file_id, lease_before=lease_before):
        return False
    details: dict[str, Detail] = {"reason": "lease_expired"}
    await record.write(connection, Event(EventKind.FILE_UPLOAD_FAILED, actor, str(file_id), origin, details))
    return True
