"""Giving up: an upload that did not end well leaves nothing but its record.

Comes in: an `Upload` and what went wrong. Leaves: no row that is pending, no bytes; now where that can be, else when
the database is back, else by the sweep (`maintenance`).
"""

import asyncio

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import log
from portal.core.errors import StorageFull, Unavailable
from portal.core.tasks import shielded, spawn
from portal.db.lease import LEASE
from portal.db.unit_of_work import Database, DatabaseAway
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.files import repository
from portal.features.files.models import Status
from portal.features.files.removal import remove_bytes
from portal.features.files.uploads.attempt import UploadAttempt
from portal.strongbox.strongbox import Strongbox

_RETRY_SECONDS = 1.0  # how often a database that is away is asked what became of an upload
_RETRIES = int(LEASE.total_seconds() / _RETRY_SECONDS)  # from then on the row is anybody's to settle
_ENDS = {EventKind.FILE_UPLOAD_FAILED: Status.FAILED, EventKind.FILE_REJECTED: Status.REJECTED}

_log = log.get(__name__)


class FailedUploads:
    """Safe for concurrent use."""

    def __init__(self, database: Database, strongbox: Strongbox) -> None:
        self._database = database
        self._strongbox = strongbox

    async def now(self, upload: UploadAttempt, error: BaseException) -> None:
        """Let nothing be kept. Raises nothing that a client could be told."""
        event = upload.failed(error)  # one, however often it is tried
        try:
            await self._undo(upload, event)
        except DatabaseAway:
            spawn(self._resolve(upload, event))
        except (Unavailable, StorageFull) as other:
            _log.warning("upload_left_to_sweep", file_id=str(upload.context.file_id), error=type(other).__name__)

    def later(self, upload: UploadAttempt, error: BaseException) -> None:
        """The same where it is unknown whether a commit took effect: the row decides, and nobody waits for that."""
        spawn(self._resolve(upload, upload.failed(error)))

    async def _resolve(self, upload: UploadAttempt, event: Event) -> None:
        """Ask the database until it answers: the lease is for processes that died, and a client may come again soon."""
        left = "DatabaseAway"
        for _ in range(_RETRIES):
            try:
                await shielded(self._undo(upload, event))
                return
            except DatabaseAway:
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception as other:  # noqa: BLE001  # whatever it is, nobody waits to hear of it
                left = type(other).__name__
                break
        _log.warning("upload_left_to_sweep", file_id=str(upload.context.file_id), error=left)

    async def _undo(self, upload: UploadAttempt, event: Event) -> None:
        """Fail what is still pending, on record, and remove its bytes; a file that stands is left alone."""
        context = upload.context
        async with self._database.write() as connection:
            if await _failed(connection, upload, _ENDS[event.kind]):
                await record.write(connection, event)
            else:
                now = await repository.find(connection, context.file_id)
                if now is None or now.listed:
                    return  # transaction 1 did not take effect, or the last one did: the file stands
        if upload.inline:
            return  # its bytes would have come with its row
        # also where a sweep forgot its row before it was there
        await self._strongbox.destroy(self._strongbox.store_id, context.blob_id.hex)
        await remove_bytes(self._database, self._strongbox, context.file_id)


async def _failed(connection: AsyncConnection, upload: UploadAttempt, status: Status) -> bool:
    """Whether it has failed now, and had not before.

    An inline upload has no row before its only transaction. A row in its place waits for that one where it is still
    under way, and keeps it out where it comes later.
    """
    if upload.inline:
        return await repository.add(connection, upload.new_row() | repository.GIVEN_UP | {"status": status.value})
    return await repository.fail(connection, upload.context.file_id, status)
