"""The statement on `files` that forgets uploads that failed. Comes in: the caller's connection. Leaves: nothing."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.db.tables import table
from portal.features.files.models import BlobRow, FileRow, Status

_files = table(FileRow)
_blobs = table(BlobRow)


async def forget(connection: AsyncConnection, before: datetime) -> None:
    """Drop rows of uploads that began before then, failed and left no bytes: the record remembers them."""
    left = select(_blobs.c.id).where(_blobs.c.file_id == _files.c.id).exists()
    failed = _files.c.status.in_((Status.FAILED.value, Status.REJECTED.value))
    await connection.execute(delete(_files).where(failed, _files.c.created_at < before, ~left))
