"""The signing keys of one portal: made when first needed, rotated, published. They sign what is to be proved elsewhere.

Comes in: a type word and a payload, in the caller's transaction. Leaves: the text of a signed document (`documents`).
A private half is sealed in its row, and leaves this module never.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from portal.core import clock
from portal.core.errors import IntegrityError, Unavailable
from portal.core.principal import Origin
from portal.core.secrets import Secret, purpose_keys
from portal.crypto import ed25519
from portal.crypto.secret_box import SecretBox
from portal.db.connection import Connection
from portal.db.statements import hold_alone
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.signing import repository
from portal.features.signing.documents import signed, thumbprint
from portal.features.signing.repository import SigningKey

MAKER: Final = "system:signing"
PUBLISHED_SECONDS: Final = 3.0
_LOCK: Final = "signing keys"


class SigningKeyUnusable(Unavailable):
    code, title = "signing_key_unusable", "The signing key does not open with any PORTAL_SECRET_KEY."


class SigningKeys:
    """Safe for concurrent use."""

    def __init__(self, database: Database, secret_keys: Sequence[Secret]) -> None:
        self._database = database
        self._box = SecretBox(purpose_keys(secret_keys, "signing key"))
        self._published: tuple[float, tuple[SigningKey, ...]] = (-PUBLISHED_SECONDS, ())

    async def sign(self, connection: Connection, type_: str, payload: Mapping[str, Any]) -> bytes:
        """The text of the signed document. Show it to nobody before the caller's transaction, a writing one, is
        committed: it may have made the key.

        Raises SigningKeyUnusable; ValueError for a payload without canonical JSON.
        """
        key = await repository.live(connection) or await self._made(connection)
        try:
            private = self._box.open(key.id.encode(), key.sealed or b"")
        except IntegrityError:
            text = "Bring its PORTAL_SECRET_KEY back, or make a new key with `portal receipt rotate-key`."
            raise SigningKeyUnusable(text) from None
        return signed(type_, payload, private)

    async def published(self) -> tuple[SigningKey, ...]:
        """The public halves of all keys, newest first, as of a few seconds ago: anybody may ask, at no cost."""
        read_at, keys = self._published
        if time.monotonic() - read_at >= PUBLISHED_SECONDS:
            keys = tuple(await self.everyone())
            self._published = time.monotonic(), keys
        return keys

    async def everyone(self) -> list[SigningKey]:
        """All keys, newest first."""
        async with self._database.read() as connection:
            return await repository.everyone(connection)

    async def rotate(self, actor: str, origin: Origin) -> SigningKey:
        """Retire the key, destroy its private half, and make a new one. What the old one signed verifies as before."""
        async with self._database.write() as connection:
            await hold_alone(connection, _LOCK)
            return await self._replaced(connection, actor, origin)

    async def reseal(self, connection: Connection) -> int:
        """Seal the private half under the newest SECRET_KEY. Returns how many were. One that no key opens stays."""
        key = await self._outdated(connection)
        if key is None or key.sealed is None:
            return 0
        try:
            sealed = self._box.seal(key.id.encode(), self._box.open(key.id.encode(), key.sealed))
        except IntegrityError:
            return 0
        return int(await repository.reseal(connection, key, sealed))

    async def count_outdated(self, connection: Connection) -> int:
        """How many private halves are not sealed under the newest SECRET_KEY: none or one."""
        return int(await self._outdated(connection) is not None)

    async def _outdated(self, connection: Connection) -> SigningKey | None:
        key = await repository.live(connection)
        return None if key is None or self._box.is_newest(key.sealed or b"") else key

    async def _made(self, connection: Connection) -> SigningKey:
        """The first key. Of two workers at once one makes it."""
        await hold_alone(connection, _LOCK)
        return await repository.live(connection) or await self._replaced(connection, MAKER, Origin())

    async def _replaced(self, connection: Connection, actor: str, origin: Origin) -> SigningKey:
        """A new key in place of the live one, if there is one. The caller holds the lock."""
        private, now, old = ed25519.new_private(), clock.now(), await repository.live(connection)
        public = ed25519.public_of(private)
        kid = thumbprint(public)
        key = SigningKey(kid, public, now, sealed=self._box.seal(kid.encode(), private))
        await repository.retire(connection, now)
        await repository.add(connection, key)
        details = {"replaces": None if old is None else old.id}
        await record.write(connection, Event(EventKind.SIGNING_KEY_CREATED, actor, kid, origin, dict(details)))
        return key
