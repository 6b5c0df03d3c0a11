"""Leases: a pending row says that somebody is at it, and is renewed while they are; what died is anybody's to settle.

Comes in: the id of a pending file. Leaves: an event that is set when a sweep took the upload. Next: `intake`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from portal.core import clock, log
from portal.core.buffer import Buffer
from portal.core.errors import Unavailable
from portal.db.unit_of_work import Database
from portal.features.files import repository

LEASE = timedelta(seconds=60)
_RENEW_SECONDS = LEASE.total_seconds() / 3

_log = log.get(__name__)


class UploadLost(Unavailable):
    code, title = "upload_lost", "The upload took too long to be settled and was given up; send it again."


@asynccontextmanager
async def leased(database: Database, file_id: UUID) -> AsyncIterator[asyncio.Event]:
    """Renews the lease meanwhile; the event is set when a sweep took the upload."""
    lost = asyncio.Event()
    renewal = asyncio.create_task(_renew(database, file_id, lost))
    try:
        yield lost
    finally:
        renewal.cancel()
        await asyncio.wait([renewal])


async def until(lost: asyncio.Event, chunks: AsyncIterator[Buffer]) -> AsyncIterator[Buffer]:
    """The chunks, as long as the upload is still ours. Raises UploadLost."""
    async for chunk in chunks:
        if lost.is_set():
            raise UploadLost
        yield chunk


async def _renew(database: Database, file_id: UUID, lost: asyncio.Event) -> None:
    while not lost.is_set():
        await asyncio.sleep(_RENEW_SECONDS)
        try:
            async with database.write() as connection:
                if not await repository.renew_lease(connection, file_id, clock.now() + LEASE):
                    lost.set()
        except Exception as error:  # noqa: BLE001  # the next round may succeed; the last word is transaction 2's
            _log.warning("lease_not_renewed", file_id=str(file_id), error=type(error).__name__)
