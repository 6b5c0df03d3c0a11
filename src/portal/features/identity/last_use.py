"""When a credential was last used, to the minute: noted beside the request that it came with.

Comes in: a credential's id and the use that is noted. Leaves: another, where that one is a minute old. Nobody waits.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock, log
from portal.core.errors import PortalError
from portal.core.tasks import shielded, spawn
from portal.db.unit_of_work import Database

NOTED = timedelta(minutes=1)  # a use is noted no more often
Write = Callable[[AsyncConnection, UUID, datetime, datetime], Awaitable[None]]

_log = log.get(__name__)


class LastUse:
    """Of one kind of credential. `write` notes a use, unless the one that is there is newer than its last argument."""

    def __init__(self, database: Database, write: Write) -> None:
        self._database = database
        self._write = write
        self._noting: set[UUID] = set()

    def note(self, credential_id: UUID, used: datetime | None) -> None:
        """At most one at a time for each credential."""
        if (used is None or used < clock.now() - NOTED) and credential_id not in self._noting:
            self._noting.add(credential_id)
            spawn(shielded(self._note(credential_id)))

    async def _note(self, credential_id: UUID) -> None:
        now = clock.now()
        try:
            async with self._database.write() as connection:
                await self._write(connection, credential_id, now, now - NOTED)
        except PortalError as error:
            _log.warning("use_not_noted", credential_id=str(credential_id), code=error.code)
        finally:
            self._noting.discard(credential_id)
