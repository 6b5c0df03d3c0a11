"""Transfers of inboxes: the files in the inbox of an account that can no longer reach it get another owner.

Comes in: an administrator or the command line, the account of the inbox, the new owner. Leaves: the number of files,
and an audit event for each. All inboxes have one key scope, so that no key changes. The files are transferred in pages,
each in a transaction of its own; repeat an interrupted transfer.
"""

from uuid import UUID

from portal.core.errors import Conflict, Unprocessable
from portal.core.principal import Origin, Principal
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.files import availability, grant_rows, inbox_rows
from portal.features.identity import repository as accounts
from portal.features.identity import users
from portal.features.identity.authenticators import Authenticators
from portal.features.identity.repository import User

_PAGE = 200


class InboxInUse(Conflict):
    code, title = "inbox_in_use", "The account can reach its inbox itself: only that of a leaver is transferred."


class TransferRefused(Unprocessable):
    code, title = "transfer_refused", "Files go to another account that is enabled, of an analyst or administrator."


class Inboxes:
    """Safe for concurrent use."""

    def __init__(self, database: Database, authenticators: Authenticators) -> None:
        self._database = database
        self._authenticators = authenticators

    async def transfer(self, by: Principal | str, user_id: UUID, to: str, origin: Origin) -> int:
        """Transfer all files of the inbox of `user_id` to the account named `to`. Returns the number of files.

        `by` is an administrator, or the actor's name for the command line. Raises NotSignedIn, Forbidden, NotFound,
        InboxInUse, TransferRefused. Pages that were committed before an error stay transferred.
        """
        went = 0
        while True:
            async with self._database.write() as connection:
                actor = await self._actor(connection, by)
                leaver = await users.found(connection, user_id)
                if leaver.disabled_at is None and policy.may_own(leaver.role):
                    raise InboxInUse
                heir = await _heir(connection, by, to)
                now = await availability.stamp(connection)  # new to the heir
                moved = await inbox_rows.transfer(connection, leaver.id, heir.id, now, _PAGE)
                await _put_on_record(connection, moved, leaver, heir, actor, origin)
            went += len(moved)
            if len(moved) < _PAGE:
                return went

    async def _actor(self, connection: Connection, by: Principal | str) -> str:
        if isinstance(by, str):
            return by
        principal = await self._authenticators.reauthenticate(connection, by)
        policy.require(principal, Action.USER_MANAGE)
        return principal.actor


async def _heir(connection: Connection, by: Principal | str, name: str) -> User:
    """The new owner. Raises TransferRefused.

    An administrator cannot be the new owner of an inbox that they transfer: they could then read it unnoticed.
    """
    user = await accounts.user_by_name(connection, name)
    unfit = user is None or user.disabled_at is not None or not policy.may_be_granted(user.role)
    if user is None or unfit or (isinstance(by, Principal) and by.user_id == user.id):
        raise TransferRefused
    return user


async def _put_on_record(
    connection: Connection, moved: list[UUID], leaver: User, heir: User, actor: str, origin: Origin
) -> None:
    details: dict[str, Detail] = {"owner_before": str(leaver.id), "owner_after": str(heir.id)}
    for file_id in moved:
        await grant_rows.remove(connection, file_id)
        await record.write(connection, Event(EventKind.FILE_TRANSFERRED, actor, str(file_id), origin, dict(details)))
