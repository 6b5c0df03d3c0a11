"""The lease of an upload: a pending file belongs to the process that receives it, as long as it renews the lease.

Comes in: the id of a pending file. Leaves: an event that is set when the lease is lost to a sweep. Next: `intake`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from uuid import UUID

from portal.core.buffer import Buffer
from portal.core.errors import Unavailable
from portal.db import lease
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.files import repository


class UploadLost(Unavailable):
    code, title = "upload_lost", "The upload took too long to be settled and was given up; send it again."


def leased(database: Database, file_id: UUID) -> AbstractAsyncContextManager[asyncio.Event]:
    """Renew the lease while the context is open. The event is set when a sweep has failed the upload.

    Even without the event the upload may be lost; transaction 2 decides.
    """

    async def renew(connection: Connection, until: datetime) -> bool:
        return await repository.renew_lease(connection, file_id, until)

    return lease.renewed(database, renew, f"file {file_id}")


async def until(lost: asyncio.Event, chunks: AsyncIterator[Buffer]) -> AsyncIterator[Buffer]:
    """The chunks, until the lease is lost. Raises UploadLost."""
    async for chunk in chunks:
        if lost.is_set():
            raise UploadLost
        yield chunk
