"""Grants: one file is shown to one account more, for a while.

Comes in: a principal, a file, a name. Leaves: who may read the file. A grant opens the entry and the content, nothing
else, and ends with its time, with a move of the file, or when it is taken back; transfers under way see that.
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock
from portal.core.errors import NotFound, Unprocessable
from portal.core.ids import new_id
from portal.core.pagination import After, Page, page_of
from portal.core.principal import Origin, Principal
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.files import grant_rows
from portal.features.files.access import load_allowed, load_for_update, require_in_case
from portal.features.files.grant_rows import Grant
from portal.features.files.views import FileView
from portal.features.identity import repository as accounts
from portal.features.identity.authenticators import Authenticators
from portal.features.identity.revocation import Revoked


class GrantRefused(Unprocessable):
    """One answer for who is not there, disabled, or of another kind: owners are told no more of accounts."""

    code, title = "grant_refused", "There is no account of that name that could be let read a file."


class Grants:
    """Safe for concurrent use."""

    def __init__(self, database: Database, authenticators: Authenticators) -> None:
        self._database = database
        self._authenticators = authenticators

    async def list(self, principal: Principal, file_id: UUID) -> list[Grant]:
        """Those in force. Raises NotFound, Forbidden."""
        async with self._database.read() as connection:
            await load_allowed(connection, principal, Action.GRANT_LIST, file_id)
            return await grant_rows.live(connection, clock.now(), file_id)

    async def of_case(self, principal: Principal, case_id: UUID, after: After | None, limit: int) -> Page[Grant]:
        """Those of every file of a case, newest first. Raises NotFound, Forbidden."""
        async with self._database.read() as connection:
            await require_in_case(connection, principal, Action.GRANT_LIST, case_id)
            found = await grant_rows.page(connection, clock.now(), after, limit + 1, grant_rows.in_case(case_id))
        return page_of(found, limit)

    async def of_account(
        self, principal: Principal, user_id: UUID, after: After | None, limit: int, *, given: bool
    ) -> Page[Grant]:
        """Those that an account gave, or has; by a token for one case only those in it. Raises NotFound."""
        policy.require_of(principal, Action.GRANTS_OF_ACCOUNT, user_id)
        only = [grant_rows.given_by(user_id) if given else grant_rows.given_to(user_id)]
        if principal.case_id is not None:
            only.append(grant_rows.in_case(principal.case_id))
        async with self._database.read() as connection:
            found = await grant_rows.page(connection, clock.now(), after, limit + 1, *only)
        return page_of(found, limit)

    async def create(self, principal: Principal, file_id: UUID, name: str, lasts: timedelta, origin: Origin) -> Grant:
        """Let an account read the file; given again it lasts anew.

        Raises NotSignedIn, NotFound, Forbidden, GrantRefused.
        """
        now = clock.now()
        async with self._database.write() as connection:
            file = await self._held(connection, principal, file_id)
            user = await accounts.eligible(connection, name, policy.may_be_granted)
            if user is None:
                raise GrantRefused
            grant = Grant(new_id(), file_id, user.id, user.name, principal.user_id, now, now + lasts, file.case_id)
            await grant_rows.put(connection, grant)
            details = {"user_id": str(user.id), "expires_at": clock.rfc3339(grant.expires_at)}
            event = Event(EventKind.FILE_GRANTED, principal.actor, str(file_id), origin, dict(details))
            await record.write(connection, event)
        return grant

    async def _held(self, connection: AsyncConnection, principal: Principal, file_id: UUID) -> FileView:
        """A file that the caller may let others read. Their account and its case stay as they are: else nothing would
        end the grant.
        """
        await load_for_update(
            connection, principal, Action.GRANT_SET, file_id
        )  # the case before the account, as everywhere
        still = await self._authenticators.held(connection, principal)
        policy.require(still, Action.GRANT_SET)
        return await load_allowed(connection, still, Action.GRANT_SET, file_id)

    async def revoke(self, principal: Principal, file_id: UUID, user_id: UUID, origin: Origin) -> None:
        """Another's, or one's own: who was let read a file may decline. Raises NotFound, Forbidden."""
        action = Action.GRANT_DECLINE if user_id == principal.user_id else Action.GRANT_REVOKE
        async with self._database.write() as connection:
            await load_for_update(connection, principal, action, file_id)
            if not await grant_rows.remove(connection, file_id, user_id):
                raise NotFound
            event = Event(
                EventKind.FILE_GRANT_REVOKED, principal.actor, str(file_id), origin, {"user_id": str(user_id)}
            )
            await record.write(connection, event)


async def end_grants_of(connection: AsyncConnection, revoked: Revoked) -> int:
    """What an account gave and may not give any more ends for good, or all of it: in the caller's transaction."""
    given = await grant_rows.end_given(connection, revoked.user_id, everything=revoked.everything)
    for ended in given:
        details: dict[str, Detail] = {"user_id": str(ended.user_id), "created_by": str(revoked.user_id)}
        event = Event(EventKind.FILE_GRANT_REVOKED, revoked.actor, str(ended.file_id), revoked.origin, details)
        await record.write(connection, event)
    return len(given)
