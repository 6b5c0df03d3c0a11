"""The lease of an upload: a pending file belongs to the process that takes it in, as long as that renews its row.

Comes in: the id of a pending file. Leaves: an event that is set when a sweep took the upload. Next: `intake`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core.buffer import Buffer
from portal.core.errors import Unavailable
from portal.db import lease
from portal.db.unit_of_work import Database
from portal.features.files import repository


class UploadLost(Unavailable):
    code, title = "upload_lost", "The upload took too long to be settled and was given up; send it again."


def leased(database: Database, file_id: UUID) -> AbstractAsyncContextManager[asyncio.Event]:
    """Renews the lease meanwhile; the event is set when a sweep took the upload. The last word is transaction 2's."""

    async def renew(connection: AsyncConnection, until: datetime) -> bool:
        return await repository.renew_lease(connection, file_id, until)

    return lease.renewed(database, renew, f"file {file_id}")


async def until(lost: asyncio.Event, chunks: AsyncIterator[Buffer]) -> AsyncIterator[Buffer]:
    """The chunks, as long as the upload is still ours. Raises UploadLost."""
    async for chunk in chunks:
        if lost.is_set():
            raise UploadLost
        yield chunk
