"""Sign-in throttling: it slows password guessing down, and cannot lock an owner out.

Comes in: a name and an address, before any work. Leaves: the seconds to wait, or a charge. Each attempt is charged as a
failure before the password is checked, and the charge is undone if it was right: so that concurrent attempts count too.
Three counts apply: failures of one name from one address, of one address, and of one name from everywhere. From an
address where the user signed in before, only the first applies: an attacker elsewhere cannot keep the owner out. An
unknown name is counted like a known one. Next: `password_auth`.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from portal.core import clock
from portal.core.delays import DoublingDelay
from portal.core.errors import PortalError
from portal.core.principal import Origin
from portal.core.secrets import Secret, purpose_keys
from portal.db.connection import Connection
from portal.features.identity import throttle_rows
from portal.features.identity.names import name_key
from portal.features.identity.repository import User

FREE_HERE, FREE_ADDRESS, FREE_ACCOUNT = 5, 100, 20  # failures without a delay
LONGEST = timedelta(minutes=15)
FORGOTTEN = timedelta(hours=24)
KNOWN_FOR = timedelta(days=90)
_NOBODY = UUID(int=0)  # an unknown user costs the same statement


class TooManyAttempts(PortalError):
    """The caller must wait for `seconds` before the next attempt."""

    status, code, title = 429, "too_many_attempts", "Too many failed sign-ins; try again later."
    retry_after = 1

    def __init__(self, seconds: int = 1) -> None:
        super().__init__()
        self.retry_after = seconds


@dataclass(frozen=True, slots=True)
class Attempt:
    """The three keys that one sign-in is counted under: name and address, address, name. Each is a MAC."""

    here: bytes
    address: bytes
    account: bytes

    @property
    def subjects(self) -> tuple[bytes, ...]:
        return (self.here, self.address, self.account)


class Throttle:
    """The throttle of one portal. The counts are in the database, for all workers. The caller raises the refusal."""

    def __init__(self, secret_keys: Sequence[Secret]) -> None:
        self._key = purpose_keys(secret_keys, "sign-in throttle")[0].key

    def attempt(self, name: str, origin: Origin) -> Attempt:
        address, account = origin.network, name_key(name)
        return Attempt(
            self._mac("here", address, account), self._mac("address", address), self._mac("account", account)
        )

    async def begin(self, connection: Connection, attempt: Attempt, user: User | None) -> int:
        """The seconds to wait. 0: the attempt may go on, and is already charged as a failure.

        The counts are locked until the transaction ends. A count whose last failure is more than FORGOTTEN ago is 0.
        """
        now = clock.now()
        held = await throttle_rows.hold(connection, attempt.subjects, now)
        counts = {subject: 0 if now - at > FORGOTTEN else count for subject, (count, at) in held.items()}
        free = {attempt.here: FREE_HERE}
        if not await throttle_rows.is_known(connection, _NOBODY if user is None else user.id, attempt.address):
            free |= {attempt.address: FREE_ADDRESS, attempt.account: FREE_ACCOUNT}
        wait = max(
            DoublingDelay(allowed, LONGEST).left(counts[subject], held[subject][1], now)
            for subject, allowed in free.items()
        )
        if not wait:
            await throttle_rows.charge(connection, {subject: count + 1 for subject, count in counts.items()}, now)
        return wait

    async def forgive(self, connection: Connection, attempt: Attempt, user: User) -> None:
        """Undo the charge after a successful sign-in.

        The address becomes a known one of the user. The failures of this name from this address are cleared.
        """
        await self.give_back(connection, attempt)
        await throttle_rows.clear(connection, attempt.here)
        await throttle_rows.remember(connection, user.id, attempt.address, clock.now())

    async def give_back(self, connection: Connection, attempt: Attempt) -> None:
        """Undo the charge of an attempt that was neither right nor wrong, for example when a queue was full."""
        await throttle_rows.give_back(connection, attempt.subjects, clock.now())

    def _mac(self, *words: str) -> bytes:
        text = "\0".join(words).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key.reveal(), text, "sha256")
