"""List sessions and end one: for their owner, for administrators, and (listing only) for auditors.

Comes in: a principal. Leaves: a page of live sessions, without tokens. Next: `session_routes`.
"""

from uuid import UUID

from portal.core import clock
from portal.core.errors import NotFound
from portal.core.pagination import After, Page, page_of
from portal.core.principal import Origin, Principal
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.identity import session_rows
from portal.features.identity.session_rows import Session
from portal.features.identity.sessions import Sessions


class OwnSessions:
    """Safe for concurrent use."""

    def __init__(self, database: Database, sessions: Sessions) -> None:
        self._database = database
        self._sessions = sessions

    async def of_user(self, principal: Principal, user_id: UUID, after: After | None, limit: int) -> Page[Session]:
        """A user's live sessions, newest first. Raises Forbidden, NotFound, InsufficientScope."""
        policy.require_of(principal, Action.SESSION_LIST, user_id)
        now = clock.now()
        unused_since = self._sessions.unused_since(now)
        async with self._database.read() as connection:
            found = await session_rows.list_live(connection, user_id, now, unused_since, after, limit + 1)
        return page_of(found, limit)

    async def end(self, principal: Principal, session_id: UUID, origin: Origin) -> None:
        """Revoke a session. Its tokens are refused from the next request on, and running transfers break off.

        Idempotent. Raises Forbidden, NotFound, InsufficientScope.
        """
        async with self._database.write() as connection:
            owner = await session_rows.owner_of(connection, session_id)
            if owner is None:
                raise NotFound
            policy.require_of(principal, Action.SESSION_END, owner)
            if await session_rows.revoke(connection, session_id, clock.now()):
                await record.write(connection, Event(EventKind.SIGN_OUT, principal.actor, str(session_id), origin))
