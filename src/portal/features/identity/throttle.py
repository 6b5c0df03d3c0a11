"""What slows guessing down, and cannot be turned into a lock-out.

Comes in: a name and an address, before any work. Leaves: how long to wait, or a charge that a right answer gives back:
so that a crowd that comes at once is counted too. Three things are counted: failures of one name from one address, of
one address, and of one name from everywhere. From where its owner signed in before only the first of them counts, so
whoever fails elsewhere keeps no owner out. An unknown name is counted like any other. Next: `proofs`.
"""

import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock
from portal.core.principal import Origin
from portal.core.secrets import Secret, purpose_keys
from portal.features.identity import throttle_rows
from portal.features.identity.names import name_key
from portal.features.identity.repository import User

FREE_HERE, FREE_ADDRESS, FREE_ACCOUNT = 5, 100, 20  # failures that cost no waiting
LONGEST = timedelta(minutes=15)
FORGOTTEN = timedelta(hours=24)
KNOWN_FOR = timedelta(days=90)
_NOBODY = UUID(int=0)  # asked about like anybody


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in, by what it is counted under."""

    here: bytes
    address: bytes
    account: bytes

    @property
    def subjects(self) -> tuple[bytes, ...]:
        return (self.here, self.address, self.account)


class Throttle:
    """Counts in the database, for every worker alike. Says nothing, lets the caller say it."""

    def __init__(self, secret_keys: Sequence[Secret]) -> None:
        self._key = purpose_keys(secret_keys, "sign-in throttle")[0].key

    def attempt(self, name: str, origin: Origin) -> Attempt:
        address, account = origin.network, name_key(name)
        return Attempt(
            self._mac("here", address, account), self._mac("address", address), self._mac("account", account)
        )

    async def begin(self, connection: AsyncConnection, attempt: Attempt, user: User | None) -> int:
        """Seconds to wait; 0 for who may try, and is charged as if it had failed."""
        now = clock.now()
        held = await throttle_rows.hold(connection, attempt.subjects, now)
        counts = {subject: 0 if now - at > FORGOTTEN else count for subject, (count, at) in held.items()}
        free = {attempt.here: FREE_HERE}
        if not await throttle_rows.is_known(connection, _NOBODY if user is None else user.id, attempt.address):
            free |= {attempt.address: FREE_ADDRESS, attempt.account: FREE_ACCOUNT}
        wait = max(_left(counts[subject], allowed, held[subject][1], now) for subject, allowed in free.items())
        if wait <= 0:
            await throttle_rows.charge(connection, {subject: count + 1 for subject, count in counts.items()}, now)
        return max(wait, 0)

    async def forgive(self, connection: AsyncConnection, attempt: Attempt, user: User) -> None:
        """The answer was right: this address is the user's, and what failed here before was forgetfulness."""
        await self.give_back(connection, attempt)
        await throttle_rows.clear(connection, attempt.here)
        await throttle_rows.remember(connection, user.id, attempt.address, clock.now())

    async def give_back(self, connection: AsyncConnection, attempt: Attempt) -> None:
        """There was no answer to judge."""
        await throttle_rows.give_back(connection, attempt.subjects, clock.now())

    def _mac(self, *words: str) -> bytes:
        text = "\0".join(words).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key.reveal(), text, "sha256")


def _left(failures: int, free: int, last: datetime, now: datetime) -> int:
    """Seconds that are left of the delay after so many failures: one, and twice as much with each."""
    if failures < free:
        return 0
    delay = min(timedelta(seconds=1 << min(failures - free, 16)), LONGEST)
    return math.ceil((last + delay - now).total_seconds())
