"""A use of a link is held while a transfer goes by it: its lease is renewed, so that only what died gives it free.

Comes in: the id of a use. Leaves: nothing; the row says so. Next: `downloads`, `uploads`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from portal.core import clock, log
from portal.core.tasks import shielded
from portal.db.unit_of_work import Database
from portal.features.files.uploads.lease import LEASE
from portal.features.links import use_rows

_RENEW_SECONDS = LEASE.total_seconds() / 3

_log = log.get(__name__)


@asynccontextmanager
async def renewed_lease(database: Database, use_id: UUID) -> AsyncIterator[None]:
    """Renews the lease meanwhile."""
    renewal = asyncio.create_task(_renew(database, use_id))
    try:
        yield
    finally:
        renewal.cancel()
        await asyncio.wait([renewal])


async def _renew(database: Database, use_id: UUID) -> None:
    while True:
        await asyncio.sleep(_RENEW_SECONDS)
        try:
            await shielded(_renewed(database, use_id))
        except Exception as error:  # noqa: BLE001  # the next round may succeed
            _log.warning("link_use_not_renewed", use_id=str(use_id), error=type(error).__name__)


async def _renewed(database: Database, use_id: UUID) -> None:
    async with database.write() as connection:
        await use_rows.renew(connection, use_id, clock.now() + LEASE)
