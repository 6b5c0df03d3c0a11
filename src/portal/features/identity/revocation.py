"""Revocation: what an account gave to others ends when the account loses the right to give it.

Comes in: an account whose rights changed, or everything of which is to end, in the transaction of that change. Leaves:
rows that are ended for good, and how many of each kind. Each feature that keeps such rows adds its function where the
portal is put together (`bootstrap`): features above call down to accounts and cases, and are told here.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock
from portal.core.principal import NOWHERE, Origin
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.identity import invitation_rows, repository, session_rows


@dataclass(frozen=True, slots=True)
class Revoked:
    """Whose rights changed, and by whom. `everything`: end all that the account gave, else what it may not give now.

    `account`: it has another role or is disabled, so that what is worth what the account is worth ends as well.
    """

    user_id: UUID
    actor: str
    origin: Origin = NOWHERE
    everything: bool = False
    account: bool = False


Revoke = Callable[[AsyncConnection, Revoked], Awaitable[int]]
Counts = Mapping[str, int]


class Revocations:
    """The functions of one portal, by what they end."""

    def __init__(self) -> None:
        self._functions: dict[str, Revoke] = {"invitations": _end_invitations}

    def add(self, kind: str, revoke: Revoke) -> None:
        self._functions[kind] = revoke

    async def run(self, connection: AsyncConnection, revoked: Revoked) -> Counts:
        """In the caller's transaction, after the change itself, which holds the account's row. How many of each."""
        return {kind: await revoke(connection, revoked) for kind, revoke in self._functions.items()}

    async def end_everything(self, connection: AsyncConnection, user_id: UUID, actor: str, origin: Origin) -> Counts:
        """Sessions too, and on record. What is made for the account at the same time comes before it, or not at all."""
        sessions = await session_rows.count_unended(connection, user_id, clock.now())
        await repository.end_sessions(connection, user_id)
        ended = await self.run(connection, Revoked(user_id, actor, origin, everything=True))
        counts = {"sessions": sessions, **ended}
        await record.write(connection, Event(EventKind.EVERYTHING_ENDED, actor, str(user_id), origin, dict(counts)))
        return counts


async def _end_invitations(connection: AsyncConnection, revoked: Revoked) -> int:
    if not (revoked.everything or revoked.account):
        return 0
    return await invitation_rows.forget_made_by(connection, revoked.user_id)
