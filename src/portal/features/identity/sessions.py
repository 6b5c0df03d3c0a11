"""Sign-in, refresh, sign-out, and who a live session belongs to.

Comes in: credentials. Leaves: a token pair, or a `Principal` whose session was live a moment ago. Every sign-in and
every refusal is on record, in the transaction that decides it.
"""

import hmac
import os
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock
from portal.core.errors import InvalidGrant, NotSignedIn
from portal.core.ids import new_id
from portal.core.principal import Origin, Principal
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.identity import repository
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.repository import Session, User
from portal.features.identity.tokens import LIFETIME, AccessClaims, AccessTokens
from portal.features.identity.users import name_key

SESSION_LIFETIME = timedelta(hours=12)
_SHOWN_NAME = 64  # characters of an unknown user name that go on record


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client signs in for. `expires_in` is in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    scope: str


class Sessions:
    """The sign-ins of one portal."""

    def __init__(self, database: Database, hasher: PasswordHasher, tokens: AccessTokens) -> None:
        self._database = database
        self._hasher = hasher
        self._tokens = tokens

    async def sign_in(self, name: str, password: str, origin: Origin) -> TokenPair:
        """Raises InvalidGrant: one answer and the same work for an unknown, a disabled and a mistaken user."""
        async with self._database.read() as connection:
            user = await repository.user_by_name(connection, name_key(name))
        usable = user if user is not None and user.disabled_at is None else None
        if not await self._hasher.verify(password, usable.password_hash if usable else None) or usable is None:
            async with self._database.write() as connection:
                named: dict[str, Detail] = {"name": ascii(name[:_SHOWN_NAME])}
                await record.write(connection, Event(EventKind.SIGN_IN_FAILED, "nobody", None, origin, named))
            raise InvalidGrant
        return await self._begin(usable, origin)

    async def refresh(self, refresh_token: str, origin: Origin) -> TokenPair:
        """A new pair for a refresh token, which is then used up. A used one ends its whole family.

        Raises InvalidGrant.
        """
        session_id, digest = _parse(refresh_token)
        now, (secret, new_digest) = clock.now(), _new_refresh_secret()
        async with self._database.write() as connection:
            session = await repository.session_by_id(connection, session_id)
            user = await repository.live_user(connection, session_id, now)
            if session is not None and _same(digest, session.previous_digest):
                await repository.revoke(connection, session_id, now)
                reuse = Event(EventKind.REFRESH_REUSED, f"user:{session.user_id}", str(session_id), origin)
                await record.write(connection, reuse)
                user = None
            elif not await repository.rotate(connection, session_id, old=digest, new=new_digest):
                user = None
        if user is None:
            raise InvalidGrant
        return self._pair(user, session_id, secret)

    async def sign_out(self, principal: Principal, origin: Origin) -> None:
        """End the session: its tokens are refused from the next request on. Idempotent."""
        async with self._database.write() as connection:
            await repository.revoke(connection, principal.session_id, clock.now())
            ended = Event(EventKind.SIGN_OUT, principal.actor, str(principal.session_id), origin)
            await record.write(connection, ended)

    async def resolve(self, credential: str) -> Principal:
        """The principal of an access token whose session lives. Raises NotSignedIn."""
        claims = self._tokens.read(credential, clock.now())
        async with self._database.read() as connection:
            return await self.require_live(connection, claims.session_id)

    async def require_live(self, connection: AsyncConnection, session_id: UUID) -> Principal:
        """The session's principal as of now, inside the caller's transaction. Raises NotSignedIn."""
        user = await repository.live_user(connection, session_id, clock.now())
        if user is None:
            raise NotSignedIn
        return Principal(f"user:{user.id}", user.role, user.id, session_id)

    async def _begin(self, user: User, origin: Origin) -> TokenPair:
        now, (secret, digest) = clock.now(), _new_refresh_secret()
        session = Session(new_id(), user.id, user.epoch, digest, None, now, now + SESSION_LIFETIME)
        async with self._database.write() as connection:
            await repository.add_session(connection, session)
            await record.write(connection, Event(EventKind.SIGN_IN, f"user:{user.id}", str(session.id), origin))
        return self._pair(user, session.id, secret)

    def _pair(self, user: User, session_id: UUID, secret: str) -> TokenPair:
        return TokenPair(
            access_token=self._tokens.issue(AccessClaims(user.id, session_id), clock.now()),
            refresh_token=f"{session_id.hex}.{secret}",
            expires_in=int(LIFETIME.total_seconds()),
            scope=user.role.value,
        )


def _new_refresh_secret() -> tuple[str, bytes]:
    secret = urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    return secret, sha256(secret.encode()).digest()


def _parse(refresh_token: str) -> tuple[UUID, bytes]:
    family, _, secret = refresh_token.partition(".")
    try:
        return UUID(hex=family), sha256(secret.encode()).digest()
    except ValueError:
        raise InvalidGrant from None


def _same(digest: bytes, other: bytes | None) -> bool:
    return other is not None and hmac.compare_digest(digest, other)
