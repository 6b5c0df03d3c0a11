"""The lease on a use of a link. A running transfer renews it, so that it expires only if the process died.

Comes in: the id of a use. Leaves: nothing; the lease is in the row. Next: `downloads`, `uploads`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from portal.db import lease
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.links import use_rows


@asynccontextmanager
async def renewed_lease(database: Database, use_id: UUID) -> AsyncIterator[None]:
    """Renew the lease of a use until the context exits (`db.lease.renewed`)."""

    async def renew(connection: Connection, until: datetime) -> bool:
        return await use_rows.renew(connection, use_id, until)

    async with lease.renewed(database, renew, f"link use {use_id}"):
        yield
