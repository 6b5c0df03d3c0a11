"""Breaking glass: an administrator reads a case's file after all, with a reason, for a while, and not in secret.

Comes in: a principal, a file, why. Leaves: until when. The row is what `delivery` honours, the audit row what nobody
can take back; the case's leads are shown who, and why (`cases.catalog`).
"""

from datetime import datetime, timedelta
from uuid import UUID

from portal.core import clock
from portal.core.errors import NotFound
from portal.core.ids import new_id
from portal.core.principal import Origin, Principal
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.authz.actions import Action
from portal.features.cases import member_rows
from portal.features.cases.views import Glass
from portal.features.files.access import load_for_update

DURATION = timedelta(minutes=15)


class BreakGlass:
    """Safe for concurrent use."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def grant(self, principal: Principal, file_id: UUID, reason: str, origin: Origin) -> datetime:
        """Until when the file may be read. Raises NotFound, Forbidden."""
        now = clock.now()
        async with self._database.write() as connection:
            file = await load_for_update(connection, principal, Action.FILE_BREAK_GLASS, file_id)
            if file.case_id is None:
                raise NotFound  # the policy lets nobody break an inbox
            glass = Glass(new_id(), file.case_id, file_id, principal.user_id, reason, now, now + DURATION)
            await member_rows.add_glass(connection, glass)
            said: dict[str, Detail] = {
                "case_id": str(file.case_id),
                "reason": reason,
                "expires_at": clock.rfc3339(now + DURATION),
            }
            event = Event(EventKind.FILE_GLASS_BROKEN, principal.actor, str(file_id), origin, said)
            await record.write(connection, event)
        return glass.expires_at
