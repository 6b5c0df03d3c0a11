"""Removal: expired uploads are failed with an audit event, and the blobs of failed and deleted files are destroyed.

Comes in: a file's id. Leaves: rows with the new status, and a store without the file's bytes.
"""

from datetime import datetime
from uuid import UUID

from portal.core.principal import NOWHERE, Origin
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.files import blob_rows, repository
from portal.strongbox.model import IN_ROW
from portal.strongbox.strongbox import Strongbox


async def remove_bytes(database: Database, strongbox: Strongbox, file_id: UUID) -> None:
    """Destroy every blob of a failed or deleted file, then delete the blob rows. Safe to repeat. Raises Unavailable,
    StorageFull.
    """
    async with database.read() as connection:
        stored = await blob_rows.stored_blobs(connection, file_id)
    for store_id, key in stored:
        # A row that claims to hold the bytes itself is not trusted: the blob is destroyed in every store.
        for holder in [store.id.hex for store in strongbox.stores] if store_id == IN_ROW else [store_id]:
            await strongbox.destroy(holder, key)
    async with database.write() as connection:
        await repository.forget_blobs(connection, file_id)


async def fail_expired(
    connection: Connection, file_id: UUID, lease_before: datetime, actor: str, origin: Origin = NOWHERE
) -> bool:
    """Fail an upload whose lease has expired, with an audit event. Its bytes stay. False if the lease was renewed."""
    if not await repository.fail(connection, file_id, lease_before=lease_before):
        return False
    details: dict[str, Detail] = {"reason": "lease_expired"}
    await record.write(connection, Event(EventKind.FILE_UPLOAD_FAILED, actor, str(file_id), origin, details))
    return True
