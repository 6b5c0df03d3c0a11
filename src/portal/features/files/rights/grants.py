"""Grants: one account may read one file until the grant expires.

Comes in: a principal, a file, the name of an account. Leaves: `Grant`s. A grant allows to read the metadata and the
content, nothing else. It ends when it expires, when the file is moved, when it is revoked, or when its creator loses
the right to create it. Running downloads end within a second then.
"""

from datetime import timedelta
from uuid import UUID

from portal.core import clock
from portal.core.errors import NotFound, Unprocessable
from portal.core.ids import new_id
from portal.core.pagination import After, Page, page_of
from portal.core.principal import Origin, Principal
from portal.db.connection import Connection
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
    """One error for an account that does not exist, is disabled or has another role, so that it reveals no accounts."""

    code, title = "grant_refused", "There is no account of that name that could be let read a file."


class Grants:
    """Safe for concurrent use."""

    def __init__(self, database: Database, authenticators: Authenticators) -> None:
        self._database = database
        self._authenticators = authenticators

    async def list(self, principal: Principal, file_id: UUID) -> list[Grant]:
        """The grants in force on a file, oldest first. Raises NotFound, Forbidden."""
        async with self._database.read() as connection:
            await load_allowed(connection, principal, Action.GRANT_LIST, file_id)
            return await grant_rows.live(connection, clock.now(), file_id)

    async def of_case(self, principal: Principal, case_id: UUID, after: After | None, limit: int) -> Page[Grant]:
        """One page of the grants in force on all files of a case, newest first. Raises NotFound, Forbidden."""
        async with self._database.read() as connection:
            await require_in_case(connection, principal, Action.GRANT_LIST, case_id)
            found = await grant_rows.page(connection, clock.now(), after, limit + 1, grant_rows.in_case(case_id))
        return page_of(found, limit)

    async def of_account(
        self, principal: Principal, user_id: UUID, after: After | None, limit: int, *, given: bool
    ) -> Page[Grant]:
        """One page of the grants that an account received or, with `given`, created; newest first.

        A credential that is confined to one case sees only the grants in that case. Raises NotFound, Forbidden.
        """
        policy.require_of(principal, Action.GRANTS_OF_ACCOUNT, user_id)
        only = [grant_rows.given_by(user_id) if given else grant_rows.given_to(user_id)]
        if principal.case_id is not None:
            only.append(grant_rows.in_case(principal.case_id))
        async with self._database.read() as connection:
            found = await grant_rows.page(connection, clock.now(), after, limit + 1, *only)
        return page_of(found, limit)

    async def create(self, principal: Principal, file_id: UUID, name: str, lasts: timedelta, origin: Origin) -> Grant:
        """Let the account named `name` read the file for `lasts`. A repeated grant replaces the earlier one.

        Raises NotSignedIn, NotFound, Forbidden, CaseReadOnly, PreconditionFailed, GrantRefused.
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

    async def _held(self, connection: Connection, principal: Principal, file_id: UUID) -> FileView:
        """Load a file on which the caller may create grants. The file's case and the caller's account are locked.

        Otherwise the caller could lose the right at the same moment, and the new grant would miss its revocation.
        """
        await load_for_update(
            connection, principal, Action.GRANT_SET, file_id
        )  # the case is locked before the account, as everywhere
        still = await self._authenticators.held(connection, principal)
        policy.require(still, Action.GRANT_SET)
        return await load_allowed(connection, still, Action.GRANT_SET, file_id)

    async def revoke(self, principal: Principal, file_id: UUID, user_id: UUID, origin: Origin) -> None:
        """Revoke the grant of an account. An account may also revoke its own grant. Raises NotFound, Forbidden."""
        action = Action.GRANT_DECLINE if user_id == principal.user_id else Action.GRANT_REVOKE
        async with self._database.write() as connection:
            await load_for_update(connection, principal, action, file_id)
            if not await grant_rows.remove(connection, file_id, user_id):
                raise NotFound
            event = Event(
                EventKind.FILE_GRANT_REVOKED, principal.actor, str(file_id), origin, {"user_id": str(user_id)}
            )
            await record.write(connection, event)


async def end_grants_of(connection: Connection, revoked: Revoked) -> int:
    """Delete the grants that an account created and may no longer create, or with `everything` all that it created.

    Writes an audit event for each, in the caller's transaction. Returns their number.
    """
    given = await grant_rows.end_given(connection, revoked.user_id, everything=revoked.everything)
    for ended in given:
        details: dict[str, Detail] = {"user_id": str(ended.user_id), "created_by": str(revoked.user_id)}
        event = Event(EventKind.FILE_GRANT_REVOKED, revoked.actor, str(ended.file_id), revoked.origin, details)
        await record.write(connection, event)
    return len(given)
