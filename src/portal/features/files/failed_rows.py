"""The statement that deletes the rows of failed uploads. Comes in: the caller's connection. Leaves: nothing."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, literal_column, select

from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.files.models import UNSETTLED, BlobRow, FileRow, Status

_files = table(FileRow)
_blobs = table(BlobRow)
_UNSETTLED: list[Any] = [literal_column(f"'{status.value}'") for status in UNSETTLED]  # as the partial index says it


async def forget(connection: Connection, before: datetime) -> None:
    """Delete the rows of failed and rejected uploads that began earlier than `before` and have no blobs left.

    The audit log keeps their events.
    """
    left = select(_blobs.c.id).where(_blobs.c.file_id == _files.c.id).exists()
    failed = _files.c.status.in_((Status.FAILED.value, Status.REJECTED.value))
    over = delete(_files).where(_files.c.status.in_(_UNSETTLED), failed, _files.c.created_at < before, ~left)
    await connection.execute(scanning(over))
