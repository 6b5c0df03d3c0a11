"""Break-glass access: an administrator may download a file of a case for 15 minutes, with a reason, and never secretly.

Comes in: a principal, a file, the reason. Leaves: the time at which the access ends. `delivery` allows the download by
the row; the audit event is permanent. The leads of the case see the administrator and the reason (`cases.catalog`).
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
        """Grant the access. Returns the time at which it ends. Raises NotFound, Forbidden."""
        now = clock.now()
        async with self._database.write() as connection:
            file = await load_for_update(connection, principal, Action.FILE_BREAK_GLASS, file_id)
            if file.case_id is None:
                raise NotFound  # the policy allows no break-glass access to an inbox
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
