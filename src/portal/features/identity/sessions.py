"""Sign-in, refresh, sign-out, and who a live session belongs to.

Comes in: credentials. Leaves: a token pair, or a `Principal` whose session was live a moment ago. Every sign-in and
every refusal is on record, in the transaction that decides it.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock
from portal.core.errors import Forbidden, InvalidGrant, NotSignedIn
from portal.core.ids import new_id
from portal.core.principal import NOWHERE, Origin, Principal, Role
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.identity import repository
from portal.features.identity.proofs import Proofs, Typed
from portal.features.identity.refresh import RefreshTokens
from portal.features.identity.repository import Session, User
from portal.features.identity.tokens import LIFETIME, AccessClaims, AccessTokens

SESSION_LIFETIME = timedelta(hours=12)


class TotpEnrolmentRequired(Forbidden):
    code, title = "totp_enrolment_required", "An administrator here needs an authenticator; enrol one first."


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
        self,
        database: Database,
        proofs: Proofs,
        access: AccessTokens,
        refresh: RefreshTokens,
        *,
        require_admin_totp: bool = False,
    ) -> None:
        self._database = database
        self._proofs = proofs
        self._access = access
        self._refresh = refresh
        self._require_admin_totp = require_admin_totp

    async def sign_in(self, name: str, password: str, origin: Origin, code: str | None = None) -> TokenPair:
        """`code` is the authenticator's, or a recovery code. Raises what `Proofs.prove` raises."""

        async def begin(connection: AsyncConnection, user: User) -> TokenPair:
            return await self._begin(connection, user, origin)

        return await self._proofs.prove(Typed(name, password, code), origin, begin)

    async def refresh(self, refresh_token: str, origin: Origin) -> TokenPair:
        """A new pair for a refresh token, which is then used up. A used one ends its whole family.

        Raises InvalidGrant.
        """
        try:
            session_id, digest = self._refresh.read(refresh_token)
        except InvalidGrant:
            refused = Event(EventKind.SIGN_IN_FAILED, "nobody", None, origin, {"grant": "refresh_token"})
            async with self._database.write() as connection:
                await record.write(connection, refused)
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
        """The principal of an access token whose session lives. Raises NotSignedIn, TotpEnrolmentRequired."""
        claims = self._access.read(credential, clock.now())
        async with self._database.read() as connection:
            return await self.require_live(connection, claims.session_id)

    async def again(self, connection: AsyncConnection, principal: Principal) -> Principal:
        """The session's principal as of now. Raises NotSignedIn, TotpEnrolmentRequired."""
        return await self.require_live(connection, principal.credential_id)

    async def resolve_to_enrol(self, credential: str) -> Principal:
        """The same for what an administrator may do without an authenticator. Raises NotSignedIn."""
        claims = self._access.read(credential, clock.now())
        async with self._database.read() as connection:
            return _principal(await _live(connection, claims.session_id), claims.session_id)

    async def require_live(self, connection: AsyncConnection, session_id: UUID) -> Principal:
        """The session's principal as of now, inside the caller's transaction. Raises NotSignedIn, Forbidden."""
        user = await _live(connection, session_id)
        if self._require_admin_totp and user.role is Role.ADMIN and user.totp_since is None:
            raise TotpEnrolmentRequired
        return _principal(user, session_id)

    async def _begin(self, connection: AsyncConnection, user: User, origin: Origin) -> TokenPair:
        now, session_id = clock.now(), new_id()
        token, digest = self._refresh.issue(session_id)
        await repository.add_session(
            connection, Session(session_id, user.id, user.epoch, digest, now, now + SESSION_LIFETIME)
        )
        await record.write(connection, Event(EventKind.SIGN_IN, f"user:{user.id}", str(session_id), origin))
        return self._pair(user, session_id, token)

    def _pair(self, user: User, session_id: UUID, refresh_token: str) -> TokenPair:
        return TokenPair(
            access_token=self._access.issue(AccessClaims(user.id, session_id), clock.now()),
            refresh_token=refresh_token,
            expires_in=int(LIFETIME.total_seconds()),
            scope=user.role.value,
        )


async def _live(connection: AsyncConnection, session_id: UUID) -> User:
    user = await repository.live_user(connection, session_id, clock.now())
    if user is None:
        raise NotSignedIn
    return user


def _principal(user: User, session_id: UUID) -> Principal:
    return Principal(f"user:{user.id}", user.role, user.id, session_id)
