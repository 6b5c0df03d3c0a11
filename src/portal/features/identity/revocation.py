"""Revocation: credentials and rights that an account gave to others end when the account may no longer give them.

Comes in: an account whose rights changed, or all of whose credentials are to end, in the transaction of that change.
Leaves: rows that are ended permanently, and their number by kind. Each feature that stores such rows registers its
function in `bootstrap`: higher features import accounts and cases, and this is how they learn of a change there.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from portal.core import clock
from portal.core.principal import NOWHERE, Origin
from portal.db.connection import Connection
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.identity import invitation_rows, repository, session_rows


@dataclass(frozen=True, slots=True)
class Revoked:
    """A change of an account's rights: the account (`user_id`), and the actor that changed it.

    `everything`: end all that the account gave. Otherwise only that ends which the account could not give now.
    `account`: the account has another role or is disabled, so that credentials that act as the account end too.

    Example: a user leaves a case. `everything` and `account` are false: the user's links into that case end, the user's
    API tokens stay.
    """

    user_id: UUID
    actor: str
    origin: Origin = NOWHERE
    everything: bool = False
    account: bool = False


Revoke = Callable[[Connection, Revoked], Awaitable[int]]
Counts = Mapping[str, int]


class Revocations:
    """The revocation functions of one portal, by the kind of row that each ends."""

    def __init__(self) -> None:
        self._functions: dict[str, Revoke] = {"invitations": _end_invitations}

    def add(self, kind: str, revoke: Revoke) -> None:
        self._functions[kind] = revoke

    async def run(self, connection: Connection, revoked: Revoked) -> Counts:
        """Run every function, in the caller's transaction. Returns the number of ended rows by kind.

        Call it after the change itself, which locks the account's row.
        """
        return {kind: await revoke(connection, revoked) for kind, revoke in self._functions.items()}

    async def end_everything(self, connection: Connection, user_id: UUID, actor: str, origin: Origin) -> Counts:
        """End the account's sessions and all that it gave, and write an audit event. Returns the numbers by kind.

        The account's row is locked. A concurrent creation for the account either commits first and is ended here, or
        fails because its credential has ended (`Authenticators.held`).
        """
        sessions = await session_rows.count_unended(connection, user_id, clock.now())
        await repository.end_sessions(connection, user_id)
        ended = await self.run(connection, Revoked(user_id, actor, origin, everything=True))
        counts = {"sessions": sessions, **ended}
        await record.write(connection, Event(EventKind.EVERYTHING_ENDED, actor, str(user_id), origin, dict(counts)))
        return counts


async def _end_invitations(connection: Connection, revoked: Revoked) -> int:
    if not (revoked.everything or revoked.account):
        return 0
    return await invitation_rows.forget_made_by(connection, revoked.user_id)
