"""The statement that deletes the rows of failed uploads. Comes in: the caller's connection. Leaves: nothing."""

from datetime import datetime

from sqlalchemy import delete, select

from portal.db.connection import Connection
from portal.db.statements import one_of, scanning
from portal.db.tables import table
from portal.features.files.models import UNSETTLED, BlobRow, FileRow, Status

_files = table(FileRow)
_blobs = table(BlobRow)


async def forget(connection: Connection, before: datetime) -> None:
    """Delete the rows of failed and rejected uploads that began earlier than `before` and have no blobs left.

    The audit log keeps their events.
    """
    left = select(_blobs.c.id).where(_blobs.c.file_id == _files.c.id).exists()
    unsettled = one_of(_files.c.status, UNSETTLED)  # as the partial index says it
    failed = one_of(_files.c.status, (Status.FAILED, Status.REJECTED))
    over = delete(_files).where(unsettled, failed, _files.c.created_at < before, ~left)
    await connection.execute(scanning(over))
