"""Revocation: what an account gave to others ends when the account loses the right to give it.

Comes in: an account whose rights changed, or everything of which is to end, in the transaction of that change. Leaves:
rows that are ended for good. Each feature that keeps such rows adds its function where the portal is put together
(`bootstrap`): features above call down to accounts and cases, and are told here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core.principal import NOWHERE, Origin


@dataclass(frozen=True, slots=True)
class Revoked:
    """Whose rights changed, and by whom. `everything`: end all that the account gave, else what it may not give now."""

    user_id: UUID
    actor: str
    origin: Origin = NOWHERE
    everything: bool = False


Revoke = Callable[[AsyncConnection, Revoked], Awaitable[None]]


class Revocations:
    """The functions of one portal."""

    def __init__(self) -> None:
        self._functions: list[Revoke] = []

    def add(self, revoke: Revoke) -> None:
        self._functions.append(revoke)

    async def run(self, connection: AsyncConnection, revoked: Revoked) -> None:
        """In the caller's transaction, after the change itself."""
        for revoke in self._functions:
            await revoke(connection, revoked)
