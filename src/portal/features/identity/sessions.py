"""Sign-in, refresh, sign-out, and who a live session belongs to.

Comes in: credentials. Leaves: a token pair, or a `Principal` whose session was live a moment ago. Every sign-in and
every refusal is on record, in the transaction that decides it.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock
from portal.core.errors import InvalidGrant, NotSignedIn, Unprocessable
from portal.core.ids import new_id
from portal.core.principal import NOWHERE, Origin, Principal
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.identity import repository
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.refresh import RefreshTokens
from portal.features.identity.repository import Session, User
from portal.features.identity.tokens import LIFETIME, AccessClaims, AccessTokens
from portal.features.identity.users import is_name, name_key

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

    def __init__(
        self, database: Database, hasher: PasswordHasher, access: AccessTokens, refresh: RefreshTokens
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._access = access
        self._refresh = refresh

    async def sign_in(self, name: str, password: str, origin: Origin) -> TokenPair:
        """Raises InvalidGrant: one answer and the same work for an unknown, a disabled and a mistaken user."""
        user = await self._user(name)
        usable = user if user is not None and user.disabled_at is None else None
        try:
            right = await self._hasher.verify(password, usable.password_hash if usable else None)
        except Unprocessable:
            await self._record_refusal("password", origin, name=name[:_SHOWN_NAME])
            raise
        if not right or usable is None:
            await self._record_refusal("password", origin, name=name[:_SHOWN_NAME])
            raise InvalidGrant
        return await self._begin(usable, origin)

    async def refresh(self, refresh_token: str, origin: Origin) -> TokenPair:
        """A new pair for a refresh token, which is then used up. A used one ends its whole family.

        Raises InvalidGrant.
        """
        try:
            session_id, digest = self._refresh.read(refresh_token)
        except InvalidGrant:
            await self._record_refusal("refresh_token", origin)
            raise
        token, new_digest = self._refresh.issue(session_id)
        async with self._database.write() as connection:
            user = await repository.live_user(connection, session_id, clock.now())
            rotated = user is not None and await repository.rotate(connection, session_id, old=digest, new=new_digest)
            kind = EventKind.REFRESHED if rotated else EventKind.REFRESH_REUSED if user else EventKind.SIGN_IN_FAILED
            if kind is EventKind.REFRESH_REUSED:
                await repository.revoke(connection, session_id, clock.now())
            actor = f"user:{user.id}" if user else "nobody"
            await record.write(connection, Event(kind, actor, str(session_id), origin, {"grant": "refresh_token"}))
        if user is None or not rotated:
            raise InvalidGrant
        return self._pair(user, session_id, token)

    async def sign_out(self, principal: Principal, origin: Origin) -> None:
        """End the session: its tokens are refused from the next request on. Idempotent."""
        async with self._database.write() as connection:
            await repository.revoke(connection, principal.credential_id, clock.now())
            ended = Event(EventKind.SIGN_OUT, principal.actor, str(principal.credential_id), origin)
            await record.write(connection, ended)

    def claims(self, _: str) -> bool:
        """Access tokens have no mark: what no other kind claims is taken for one."""
        return True

    async def resolve(self, credential: str, _: Origin = NOWHERE) -> Principal:
        """The principal of an access token whose session lives. Raises NotSignedIn."""
        claims = self._access.read(credential, clock.now())
        async with self._database.read() as connection:
            return await self.require_live(connection, claims.session_id)

    async def again(self, connection: AsyncConnection, principal: Principal) -> Principal:
        """The session's principal as of now. Raises NotSignedIn."""
        return await self.require_live(connection, principal.credential_id)

    async def require_live(self, connection: AsyncConnection, session_id: UUID) -> Principal:
        """The session's principal as of now, inside the caller's transaction. Raises NotSignedIn."""
        user = await repository.live_user(connection, session_id, clock.now())
        if user is None:
            raise NotSignedIn
        return Principal(f"user:{user.id}", user.role, user.id, session_id)

    async def _record_refusal(self, grant: str, origin: Origin, **details: Detail) -> None:
        event = Event(EventKind.SIGN_IN_FAILED, "nobody", None, origin, {"grant": grant, **details})
        async with self._database.write() as connection:
            await record.write(connection, event)

    async def _user(self, name: str) -> User | None:
        if not is_name(name):
            return None  # nobody is called that, and a database need not be asked about a NUL
        async with self._database.read() as connection:
            return await repository.user_by_name(connection, name_key(name))

    async def _begin(self, user: User, origin: Origin) -> TokenPair:
        now, session_id = clock.now(), new_id()
        token, digest = self._refresh.issue(session_id)
        session = Session(session_id, user.id, user.epoch, digest, now, now + SESSION_LIFETIME)
        async with self._database.write() as connection:
            await repository.add_session(connection, session)
            await record.write(connection, Event(EventKind.SIGN_IN, f"user:{user.id}", str(session_id), origin))
        return self._pair(user, session_id, token)

    def _pair(self, user: User, session_id: UUID, refresh_token: str) -> TokenPair:
        return TokenPair(
            access_token=self._access.issue(AccessClaims(user.id, session_id), clock.now()),
            refresh_token=refresh_token,
            expires_in=int(LIFETIME.total_seconds()),
            scope=user.role.value,
        )
