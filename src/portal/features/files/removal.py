"""Removal: expired uploads are failed with an audit event, and blobs that were let go are destroyed in their time.

Comes in: a file's id, or a blob that was let go (`blob_rows`). Leaves: a failed row, or a store without the bytes.
"""

from datetime import datetime
from uuid import UUID

from portal.core import clock
from portal.core.principal import NOWHERE, Origin
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.files import blob_rows, repository
from portal.features.files.blob_rows import LetGo
from portal.strongbox.model import IN_ROW
from portal.strongbox.strongbox import Strongbox

_MOST_PARTS = 10_000  # of one file


async def remove_due(database: Database, strongbox: Strongbox, file_id: UUID) -> None:
    """Remove the file's blobs whose time to go has come. Safe to repeat. Raises Unavailable, StorageFull."""
    async with database.read() as connection:
        blobs = await blob_rows.due(connection, clock.now(), _MOST_PARTS, file_id=file_id)
    for blob in blobs:
        await remove_bytes(database, strongbox, blob)


async def remove_bytes(database: Database, strongbox: Strongbox, blob: LetGo) -> bool:
    """Destroy a blob that was let go, then delete its row. False if it was gone already. Raises Unavailable,
    StorageFull.
    """
    # A row that claims to hold the bytes itself is not trusted: the blob is destroyed in every store.
    for holder in [store.id.hex for store in strongbox.stores] if blob.store == IN_ROW else [blob.store]:
        await strongbox.destroy(holder, blob.id.hex)
    async with database.write() as connection:
        return await blob_rows.forget(connection, blob.id)


async def fail_expired(
    connection: Connection, file_id: UUID, lease_before: datetime, actor: str, origin: Origin = NOWHERE
) -> bool:
    """Fail an upload whose lease has expired, with an audit event. Its bytes stay. False if the lease was renewed."""
    if not await repository.fail(connection, file_id, lease_before=lease_before):
        return False
    details: dict[str, Detail] = {"reason": "lease_expired"}
    await record.write(connection, Event(EventKind.FILE_UPLOAD_FAILED, actor, str(file_id), origin, details))
    return True
