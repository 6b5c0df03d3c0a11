"""Cleanup of failed uploads: only a failed row and an audit event are left.

Comes in: an `UploadAttempt` and its error. Leaves: no pending row and no bytes. That happens at once if possible, else
when the database is available again, else in the sweep (`maintenance`).
"""

import asyncio

from portal.core import log
from portal.core.errors import StorageFull, Unavailable
from portal.core.tasks import shielded, spawn
from portal.db.connection import Connection
from portal.db.lease import LEASE
from portal.db.unit_of_work import Database, DatabaseAway
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.audit.record import Recorder
from portal.features.files import repository
from portal.features.files.models import Status
from portal.features.files.removal import remove_due
from portal.features.files.uploads.attempt import UploadAttempt
from portal.strongbox.strongbox import Strongbox

_RETRY_SECONDS = 1.0  # between two attempts while the database is unavailable
_RETRIES = int(LEASE.total_seconds() / _RETRY_SECONDS)  # then the lease has expired, and a sweep settles the row
_ENDS = {EventKind.FILE_UPLOAD_FAILED: Status.FAILED, EventKind.FILE_REJECTED: Status.REJECTED}

_log = log.get(__name__)


class FailedUploads:
    """Safe for concurrent use."""

    def __init__(self, database: Database, strongbox: Strongbox, recorder: Recorder) -> None:
        self._database = database
        self._strongbox = strongbox
        self._recorder = recorder

    async def now(self, upload: UploadAttempt, error: BaseException) -> None:
        """Remove everything of the upload but its failed row and audit event.

        While the database is unavailable, that goes on in the background. If a store is unavailable or full, the sweep
        does it. Neither error is raised: the client gets `error`, the cause. A rejection is in the journal before the
        client gets it: a process that stops, or a long absence of the database, must not lose what was found.
        """
        event = upload.failed(error)  # a single event for all attempts
        try:
            await self._undo(upload, event)
        except DatabaseAway:
            if event.kind is EventKind.FILE_REJECTED:
                await self._recorder.outcome(event)
            spawn(self._resolve(upload, event))
        except (Unavailable, StorageFull) as other:
            _log.warning("upload_left_to_sweep", file_id=str(upload.context.file_id), error=type(other).__name__)

    def later(self, upload: UploadAttempt, error: BaseException) -> None:
        """Do the same in the background, for an upload whose last commit has an unknown outcome.

        The row then decides: a file that was committed stays. Returns at once.
        """
        spawn(self._resolve(upload, upload.failed(error)))

    async def _resolve(self, upload: UploadAttempt, event: Event) -> None:
        """Retry `_undo` once a second until the database answers, at most until the lease has expired.

        The sweep alone would be late: the lease is for processes that crashed, and a client may retry sooner.
        """
        left = "DatabaseAway"
        for _ in range(_RETRIES):
            try:
                await shielded(self._undo(upload, event))
                return
            except DatabaseAway:
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception as other:  # noqa: BLE001  # a background task: no caller could handle it
                left = type(other).__name__
                break
        _log.warning("upload_left_to_sweep", file_id=str(upload.context.file_id), error=left)

    async def _undo(self, upload: UploadAttempt, event: Event) -> None:
        """Fail the upload if it is still pending, with an audit event, and remove its bytes. A listed file is kept."""
        context = upload.context
        async with self._database.write() as connection:
            if await _failed(connection, upload, _ENDS[event.kind]):
                await record.write(connection, event)
            else:
                now = await repository.find(connection, context.file_id)
                if now is None or now.listed:
                    return  # transaction 1 was not committed (no row), or the last one was (the file is listed)
        if upload.inline:
            return  # its bytes are in its rows only
        # also if a sweep deleted the blob's row before the blob was written
        await self._strongbox.destroy(self._strongbox.store_id, context.blob_id.hex)
        await remove_due(self._database, self._strongbox, context.file_id)


async def _failed(connection: Connection, upload: UploadAttempt, status: Status) -> bool:
    """Change the upload to `status`. True if this call did it; False if it was settled before.

    An inline upload has no row before its only transaction. So a failed row is inserted with its id. The insert waits
    for that transaction if it is still running, and makes it fail if it comes later.
    """
    if upload.inline:
        return await repository.add(connection, upload.new_row() | repository.GIVEN_UP | {"status": status.value})
    return await repository.fail(connection, upload.context.file_id, status)
