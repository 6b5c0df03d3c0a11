"""API tokens: created by their owner, with fewer rights than the owner, and ended with the owner's account.

Comes in: a signed-in principal's request, or the text of a token with an origin. Leaves: a token, whose secret is shown
once; or the `Principal` of a token. A token cannot create another token: the harm of a leaked one ends with its
revocation. A change of the owner's role, or disabling the owner, revokes it permanently (`identity/revocation`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, NotFound, NotSignedIn, Unprocessable
from portal.core.ids import new_id
from portal.core.pagination import After, Page, page_of
from portal.core.prefixed_tokens import API_TOKEN, TokenKind
from portal.core.principal import CredentialKind, Origin, Permission, Principal, Role
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.identity.authenticators import Authenticators
from portal.features.identity.last_use import LastUse
from portal.features.identity.revocation import Revoked
from portal.features.identity.sessions import TotpEnrolmentRequired
from portal.features.tokens import repository
from portal.features.tokens.repository import ApiToken, LiveToken, Network

API_TOKEN_KIND = TokenKind(API_TOKEN)
MOST_TOKENS = 100  # live tokens of one user
MOST_OVER = 100  # expired and revoked tokens of one user that stay listed
KEPT_WHEN_OVER = timedelta(days=90)

KnownCase = Callable[[Connection, Principal, UUID], Awaitable[None]]
"""Raises NotFound for a case that does not exist, or that the principal may not know of."""


class TooManyTokens(Conflict):
    code, title = "too_many_tokens", f"An account has at most {MOST_TOKENS} live tokens: revoke one first."


@dataclass(frozen=True, slots=True)
class NewApiToken:
    """The fields of a new token. Without `networks`, all networks are allowed."""

    name: str
    permissions: frozenset[Permission]
    lifetime: timedelta
    networks: tuple[Network, ...] = ()
    case_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class CreatedApiToken:
    """A new token with its secret. The secret is not stored: it is shown this once."""

    token: ApiToken
    secret: str = field(repr=False)


class ApiTokens:
    """The API tokens of one portal. Safe for concurrent use. Implements `Authenticator`."""

    def __init__(
        self,
        database: Database,
        authenticators: Authenticators,
        known_case: KnownCase,
        *,
        require_admin_totp: bool = False,
    ) -> None:
        self._database = database
        self._authenticators = authenticators
        self._known_case = known_case
        self._require_admin_totp = require_admin_totp
        self._uses = LastUse(database, repository.note_use)

    async def create(self, principal: Principal, wanted: NewApiToken, origin: Origin) -> CreatedApiToken:
        """Create a token.

        Raises Unprocessable for a permission that no token can have, InsufficientScope for one that the session lacks,
        NotFound for an unknown case, NotSignedIn where the session ended meanwhile, TooManyTokens.
        """
        if not wanted.permissions or not wanted.permissions <= policy.GRANTABLE:
            raise Unprocessable("Name at least one permission that a token can have.")
        policy.require_permissions(principal, wanted.permissions)
        now, secret = clock.now(), API_TOKEN_KIND.new()
        token = ApiToken(
            id=new_id(),
            user_id=principal.user_id,
            name=wanted.name,
            permissions=wanted.permissions,
            networks=wanted.networks,
            case_id=wanted.case_id,
            created_at=now,
            expires_at=now + wanted.lifetime,
        )
        async with self._database.write() as connection:
            await self._authenticators.held(connection, principal)
            if wanted.case_id is not None:
                await self._known_case(connection, principal, wanted.case_id)
            if await repository.count_live(connection, principal.user_id, now) >= MOST_TOKENS:
                raise TooManyTokens
            await repository.add(connection, token, _digest(secret))
            await repository.forget_most_over(connection, principal.user_id, now, kept=MOST_OVER)
            await record.write(connection, _event(EventKind.TOKEN_CREATED, principal, token, origin))
        return CreatedApiToken(token, secret)

    async def of_user(
        self, principal: Principal, user_id: UUID, after: After | None = None, limit: int = 200
    ) -> Page[ApiToken]:
        """One page of a user's tokens, newest first. Raises Forbidden, InsufficientScope, and NotFound where the
        principal may not know of them.
        """
        policy.require_of(principal, Action.TOKEN_LIST, user_id)
        async with self._database.read() as connection:
            return page_of(await repository.of_user(connection, user_id, after, limit + 1), limit)

    async def revoke(self, principal: Principal, token_id: UUID, origin: Origin) -> None:
        """Revoke a token: it is refused from the next request on, and running transfers break off. Idempotent.

        Raises NotFound, Forbidden, InsufficientScope.
        """
        async with self._database.write() as connection:
            token = await repository.find(connection, token_id)
            if token is None:
                raise NotFound
            policy.require_of(principal, Action.TOKEN_REVOKE, token.user_id)
            if await repository.revoke(connection, token_id, clock.now()):
                await record.write(connection, _event(EventKind.TOKEN_REVOKED, principal, token, origin))

    def claims(self, credential: str) -> bool:
        return API_TOKEN_KIND.matches(credential)

    async def resolve(self, credential: str, origin: Origin) -> Principal:
        """The principal of a token.

        Raises NotSignedIn for a token that is unknown, expired, revoked, or used outside its networks.
        Raises TotpEnrolmentRequired.
        """
        digest, now = _digest(credential), clock.now()
        async with self._database.read() as connection:
            live = await repository.live_by_digest(connection, digest, now)
        if live is None or not _within(live.token.networks, origin.address):
            raise NotSignedIn
        self._require_factor(live)
        self._uses.note(live.token.id, live.token.last_used_at)
        return _principal(live)

    async def reauthenticate(self, connection: Connection, principal: Principal) -> Principal:
        """The token's principal as of now, also after the token expired.

        A transfer that began in time may take longer than the token. Raises NotSignedIn where the token was revoked or
        its owner disabled, TotpEnrolmentRequired.
        """
        unended = await repository.unended_by_id(connection, principal.credential_id)
        if unended is None:
            raise NotSignedIn
        self._require_factor(unended)
        return _principal(unended)

    async def sweep(self) -> None:
        """Delete tokens that expired or were revoked more than KEPT_WHEN_OVER ago."""
        async with self._database.write() as connection:
            await repository.forget_over(connection, clock.now() - KEPT_WHEN_OVER)

    def _require_factor(self, live: LiveToken) -> None:
        """Raises TotpEnrolmentRequired where a session of the owner would need a second factor."""
        if self._require_admin_totp and live.role is Role.ADMIN and not live.owner_has_totp:
            raise TotpEnrolmentRequired


async def end_tokens_of(connection: Connection, revoked: Revoked) -> int:
    """Revoke every token of an account permanently, where its role changed, it was disabled, or everything ends.

    For `identity.revocation`. Returns the number of live ones.
    """
    if not (revoked.everything or revoked.account):
        return 0
    return await repository.revoke_all(connection, revoked.user_id, clock.now())


def _digest(credential: str) -> bytes:
    """The digest of a token. Raises NotSignedIn for a text that has not the form of one."""
    digest = API_TOKEN_KIND.digest(credential)
    if digest is None:
        raise NotSignedIn
    return digest


def _principal(live: LiveToken) -> Principal:
    token = live.token
    return Principal(
        actor=f"user:{token.user_id}/token:{token.id}",
        role=live.role,
        user_id=token.user_id,
        credential_id=token.id,
        kind=CredentialKind.TOKEN,
        permissions=token.permissions,
        case_id=token.case_id,
    )


def _within(networks: tuple[Network, ...], address: str | None) -> bool:
    """Whether a token for `networks` may be used from `address`. False where that is no IP address (fail closed).

    An IPv4-mapped IPv6 address counts as its IPv4 address.
    """
    if not networks:
        return True
    try:
        caller = ip_address(address or "")
    except ValueError:
        return False
    mapped = getattr(caller, "ipv4_mapped", None)
    return any((mapped or caller) in network for network in networks)


def _event(kind: EventKind, principal: Principal, token: ApiToken, origin: Origin) -> Event:
    details = {
        "name": token.name,
        "owner_id": str(token.user_id),
        "permissions": " ".join(sorted(token.permissions)),
        "networks": " ".join(map(str, token.networks)),
        "case_id": None if token.case_id is None else str(token.case_id),
        "expires_at": clock.rfc3339(token.expires_at),
    }
    return Event(kind, principal.actor, str(token.id), origin, dict(details))
