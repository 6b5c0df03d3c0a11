"""The statement that deletes the rows of failed uploads. Comes in: the caller's connection. Leaves: nothing."""

from datetime import datetime

from sqlalchemy import delete, select

from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.files.models import BlobRow, FileRow, Status

_files = table(FileRow)
_blobs = table(BlobRow)


async def forget(connection: Connection, before: datetime) -> None:
    """Delete the rows of failed and rejected uploads that began earlier than `before` and have no blobs left.

    The audit log keeps their events.
    """
    left = select(_blobs.c.id).where(_blobs.c.file_id == _files.c.id).exists()
    failed = _files.c.status.in_((Status.FAILED.value, Status.REJECTED.value))
    await connection.execute(scanning(delete(_files).where(failed, _files.c.created_at < before, ~left)))
