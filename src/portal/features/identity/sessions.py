"""Sign-in, refresh, sign-out, and the principal of a live session.

Comes in: credentials. Leaves: a token pair, or a `Principal` whose session was live a moment ago. Every sign-in and
every refusal is in the audit log, written in the transaction that decides it. For GRACE after its first use, a refresh
token returns the same pair again: the response may have been lost, or two tabs sent the token. Later reuse ends the
session. Next: `own_sessions` lists sessions.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from portal.core import clock
from portal.core.errors import Forbidden, NotSignedIn
from portal.core.ids import new_id
from portal.core.principal import EVERY_PERMISSION, NOWHERE, Origin, Permission, Principal, Role
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.identity import session_rows
from portal.features.identity.grant_errors import InvalidGrant
from portal.features.identity.last_use import LastUse
from portal.features.identity.password_auth import PasswordAuthenticator, PasswordCredentials
from portal.features.identity.refresh import RefreshTokens
from portal.features.identity.repository import User
from portal.features.identity.session_rows import Session, SignedIn
from portal.features.identity.tokens import LIFETIME, AccessClaims, AccessTokens

SESSION_LIFETIME = timedelta(hours=12)
IDLE = timedelta(hours=1)  # default idle timeout: the longest pause between two uses
GRACE = timedelta(seconds=30)  # how long a used refresh token still returns the pair that replaced it
KEPT_WHEN_OVER = timedelta(days=30)


class TotpEnrolmentRequired(Forbidden):
    code, title = "totp_enrolment_required", "An administrator here needs an authenticator; enrol one first."


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The result of a sign-in or refresh. `expires_in` is the access token's lifetime in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    scope: str


class Sessions:
    """The sessions of one portal. Safe for concurrent use. Implements `Authenticator`."""

    def __init__(
        self,
        database: Database,
        password_auth: PasswordAuthenticator,
        access: AccessTokens,
        refresh: RefreshTokens,
        *,
        require_admin_totp: bool = False,
        idle: timedelta = IDLE,
    ) -> None:
        self._database = database
        self._idle = idle
        self._uses = LastUse(database, session_rows.note_use)
        self._password_auth = password_auth
        self._access = access
        self._refresh = refresh
        self._require_admin_totp = require_admin_totp

    async def sign_in(
        self,
        name: str,
        password: str,
        origin: Origin,
        code: str | None = None,
        permissions: frozenset[Permission] = EVERY_PERMISSION,
    ) -> TokenPair:
        """Start a session. `code` is the authenticator's code, or a recovery code.

        Raises the errors of `PasswordAuthenticator.authenticate`.
        """

        async def begin(connection: Connection, user: User) -> TokenPair:
            return await self._begin(connection, user, origin, permissions)

        return await self._password_auth.authenticate(PasswordCredentials(name, password, code), origin, begin)

    async def refresh(self, refresh_token: str, origin: Origin) -> TokenPair:
        """Return the token pair that replaces this refresh token. Reuse after GRACE ends the session.

        For example: a token is used at 12:00:00 and returns pair P. At 12:00:20 it returns P again. At 12:00:40, or
        once P's own refresh token was used, it ends the session.
        Concurrent calls with one token run one after the other. Raises InvalidGrant.
        """
        try:
            session_id, digest = self._refresh.read(refresh_token)
        except InvalidGrant:
            await self._refused(origin)
            raise
        async with self._database.write() as connection:
            session = await session_rows.held(connection, session_id)  # locks the row: concurrent refreshes take turns
            live = await self._live(connection, session_id)
            kind, pair = EventKind.SIGN_IN_FAILED, None
            if live is not None and session is not None:
                kind, pair = await self._next(connection, session, live, refresh_token, digest)
            actor = f"user:{live.user.id}" if live else "nobody"
            said = {"grant": "refresh_token"} | ({"repeated": True} if pair and _is_spent(session, digest) else {})
            await record.write(connection, Event(kind, actor, str(session_id), origin, dict(said)))
        if pair is None:
            raise InvalidGrant
        return pair

    async def sign_out(self, principal: Principal, origin: Origin) -> None:
        """End the session: its tokens are refused from the next request on. Idempotent."""
        async with self._database.write() as connection:
            await session_rows.revoke(connection, principal.credential_id, clock.now())
            ended = Event(EventKind.SIGN_OUT, principal.actor, str(principal.credential_id), origin)
            await record.write(connection, ended)

    def claims(self, _: str) -> bool:
        """True for every text: an access token has no prefix, so it is the kind that is tried last."""
        return True

    async def resolve(self, credential: str, _: Origin = NOWHERE) -> Principal:
        """The principal of an access token whose session lives. Raises NotSignedIn, TotpEnrolmentRequired."""
        claims = self._access.read(credential, clock.now())
        async with self._database.read() as connection:
            return await self.require_live(connection, claims.session_id)

    async def reauthenticate(self, connection: Connection, principal: Principal) -> Principal:
        """The session's principal as of now, also after the session expired.

        A transfer that began in time may take longer than the session. A revoked session, a disabled user or a new
        password ends it. Raises NotSignedIn, TotpEnrolmentRequired.
        """
        unended = await session_rows.unended_user(connection, principal.credential_id)
        return self._principal(unended, principal.credential_id)

    async def resolve_to_enrol(self, credential: str) -> Principal:
        """As `resolve`, for requests that an administrator may make without an authenticator. Raises NotSignedIn."""
        claims = self._access.read(credential, clock.now())
        async with self._database.read() as connection:
            live = await self._live(connection, claims.session_id)
        if live is None:
            raise NotSignedIn
        return _principal(live, claims.session_id)

    async def require_live(self, connection: Connection, session_id: UUID) -> Principal:
        """The principal of a live session, read in the caller's transaction.

        Raises NotSignedIn, TotpEnrolmentRequired.
        """
        return self._principal(await self._live(connection, session_id), session_id)

    async def sweep(self) -> None:
        """Delete sessions that ended more than KEPT_WHEN_OVER ago."""
        async with self._database.write() as connection:
            await session_rows.forget_over(connection, clock.now() - KEPT_WHEN_OVER)

    def unused_since(self, now: datetime) -> datetime:
        """The moment of the idle timeout: a session that was last used before it has expired."""
        return now - self._idle

    async def _live(self, connection: Connection, session_id: UUID) -> SignedIn | None:
        now = clock.now()
        return await session_rows.live_user(connection, session_id, now, self.unused_since(now))

    def _principal(self, found: SignedIn | None, session_id: UUID) -> Principal:
        if found is None:
            raise NotSignedIn
        if self._require_admin_totp and found.user.role is Role.ADMIN and found.user.totp_since is None:
            raise TotpEnrolmentRequired
        self._uses.note(session_id, found.used_at)
        return _principal(found, session_id)

    async def _begin(
        self, connection: Connection, user: User, origin: Origin, permissions: frozenset[Permission]
    ) -> TokenPair:
        now, session_id = clock.now(), new_id()
        token, digest = self._refresh.issue(session_id)
        session = Session(
            id=session_id,
            user_id=user.id,
            epoch=user.epoch,
            refresh_digest=digest,
            created_at=now,
            expires_at=now + SESSION_LIFETIME,
            proved_at=now,
            used_at=now,
            address=origin.address,
            agent=origin.agent,
            permissions=permissions,
        )
        await session_rows.add(connection, session)
        await record.write(connection, Event(EventKind.SIGN_IN, f"user:{user.id}", str(session_id), origin))
        return self._pair(user, session, token, now, now)

    async def _next(
        self, connection: Connection, session: Session, live: SignedIn, token: str, digest: bytes
    ) -> tuple[EventKind, TokenPair | None]:
        """The event and the pair for a refresh token of a live, locked session. None for reuse, which ends it."""
        now, successors = clock.now(), self._refresh.successors(token)
        if digest == session.refresh_digest:
            successor, new_digest = next(successors)
            await session_rows.rotate(connection, session, new_digest, now)
            return EventKind.REFRESHED, self._pair(live.user, session, successor, now, now)
        if _is_spent(session, digest) and session.rotated_at is not None and now < session.rotated_at + GRACE:
            for successor, kept in successors:  # the stored successor; none matches once that was used too
                if kept == session.refresh_digest:
                    return EventKind.REFRESHED, self._pair(live.user, session, successor, session.rotated_at, now)
        await session_rows.revoke(connection, session.id, now)
        return EventKind.REFRESH_REUSED, None

    async def _refused(self, origin: Origin) -> None:
        refused = Event(EventKind.SIGN_IN_FAILED, "nobody", None, origin, {"grant": "refresh_token"})
        async with self._database.write() as connection:
            await record.write(connection, refused)

    def _pair(self, user: User, session: Session, refresh_token: str, born: datetime, now: datetime) -> TokenPair:
        """The token pair of a session. Deterministic: one refresh token and `born` always give the same tokens.

        `now` decides only `expires_in`.
        """
        serial = UUID(bytes=sha256(f"serial:{refresh_token}".encode()).digest()[:16], version=4)
        return TokenPair(
            access_token=self._access.issue(AccessClaims(user.id, session.id), born, serial),
            refresh_token=refresh_token,
            expires_in=int((born + LIFETIME - now).total_seconds()),
            scope=" ".join(sorted(session.permissions)),
        )


def _is_spent(session: Session | None, digest: bytes) -> bool:
    """Whether the digest is that of the session's previous refresh token."""
    return session is not None and digest == session.previous_digest


def _principal(live: SignedIn, session_id: UUID) -> Principal:
    user = live.user
    return Principal(
        actor=f"user:{user.id}",
        role=user.role,
        user_id=user.id,
        credential_id=session_id,
        permissions=live.permissions,
        proved_at=live.proved_at,
    )
