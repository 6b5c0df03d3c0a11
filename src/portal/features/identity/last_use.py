"""The time of a credential's last use, to the minute.

The write runs in the background: the request that uses the credential does not wait for it.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

from portal.core import clock, log
from portal.core.errors import PortalError
from portal.core.tasks import shielded, spawn
from portal.db.connection import Connection
from portal.db.unit_of_work import Database

NOTED = timedelta(minutes=1)  # the shortest time between two writes for one credential
Write = Callable[[Connection, UUID, datetime, datetime], Awaitable[None]]

_log = log.get(__name__)


class LastUse:
    """The last uses of one kind of credential. For the tasks of one event loop.

    `write(connection, id, now, unless_after)` stores `now`, unless the stored use is later than `unless_after`.
    """

    def __init__(self, database: Database, write: Write) -> None:
        self._database = database
        self._write = write
        self._noting: set[UUID] = set()

    def note(self, credential_id: UUID, used: datetime | None) -> None:
        """Store a use now, if the last one (`used`) is more than a minute ago. Returns at once.

        At most one write per credential runs at a time. A failed write is logged and otherwise ignored.
        """
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
