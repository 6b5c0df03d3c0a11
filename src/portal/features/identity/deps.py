"""Authentication for route signatures: `SignedIn` in a signature means that the route needs a valid credential.

Comes in: the Authorization or X-API-Token header. Leaves: a Principal whose credential has the permissions that the
route names. The services decide what the principal may do with an object.

The caller is one dependency, the first of its route. The security schemes are declared for the OpenAPI document;
`_credential` reads what they describe.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from hmac import compare_digest
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request
from fastapi.security import APIKeyHeader, HTTPBearer, OAuth2PasswordBearer
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import BaseModel

from portal.core.errors import Forbidden, InsufficientScope, InvalidInput, NotSignedIn, PortalError, Unavailable
from portal.core.principal import CredentialKind, Origin, Permission, Principal
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.identity.account_names import AccountNames
from portal.features.identity.authenticators import Authenticators
from portal.features.identity.recent_sign_in import require_fresh
from portal.features.identity.service import Identity
from portal.features.identity.sessions import TotpEnrolmentRequired
from portal.web import API
from portal.web.bodies import json_body, parses
from portal.web.conditional_requests import expected_version
from portal.web.errors import request_id_of
from portal.web.limits import Limits
from portal.web.portal_state import of_portal, portal_of
from portal.web.routing import Asked, AtHand, asks_for

_SHOWN_AGENT = 200  # characters of a client's User-Agent that are stored
_T = TypeVar("_T")
_Model = TypeVar("_Model", bound=BaseModel)

bearer = HTTPBearer(
    scheme_name="bearer",
    description=(
        f"An access token from `POST {API}/auth/token`, an API token (`prt_…`), or for the shared routes a link's "
        f"token from `POST {API}/links/redeem`. An account with an authenticator signs in at `POST {API}/auth/token`, "
        "with `totp`, and pastes the access token here."
    ),
    auto_error=False,
)
sign_in = OAuth2PasswordBearer(
    tokenUrl=f"{API}/auth/token",
    refreshUrl=f"{API}/auth/token",
    scheme_name="password",
    description="Name and password, for accounts without an authenticator: the others use `bearer`.",
    scopes={
        Permission.FILES_READ: "list files, read their entries",
        Permission.FILES_UPLOAD: "hand files in",
        Permission.FILES_CHANGE: "change, move and delete files",
        Permission.DOWNLOAD_RAW: "download files as they are",
        Permission.DOWNLOAD_WRAPPED: "download files in a protected archive",
        Permission.CASES_READ: "list cases, read their entries and members",
        Permission.CASES_CHANGE: "open, change and delete cases, and their members",
        Permission.ACCOUNT: "the account and its credentials: never an API token's",
        Permission.ADMINISTER: "run the portal: never an API token's",
    },
    auto_error=False,
)
api_key = APIKeyHeader(
    name="X-API-Token",
    scheme_name="api_token",
    description="An API token (`prt_…`), for clients that cannot set `Authorization`; `bearer` takes one too.",
    auto_error=False,
)


def _origin(request: Request) -> Origin:
    agent = "".join(filter(str.isprintable, request.headers.get("user-agent", "")))[:_SHOWN_AGENT]
    return Origin(request_id_of(request), request.scope["state"].get("address"), agent or None)


def bearer_token(request: Request) -> str:
    """The token of the Authorization header; empty without one, and for any other scheme."""
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    return token if scheme.lower() == "bearer" else ""


async def _credential(request: Request) -> str:
    """The credential of a request; empty, and so never valid, without one.

    Clients may send the same one in both headers. Raises InvalidInput for two different ones.
    """
    token, key = bearer_token(request), request.headers.get("x-api-token", "")
    if token and key and not compare_digest(token.encode(), key.encode()):
        limits: Limits = request.app.state.limits
        await limits.count_by_principal(request, None)
        raise InvalidInput("Authorization and X-API-Token hold different tokens: send one of the two.")
    return token or key


async def _principal(request: Request, permissions: Sequence[Permission]) -> Principal:
    """The caller, whose credential has these permissions. Raises NotSignedIn, InsufficientScope."""
    authenticators: Authenticators = portal_of(request).identity.authenticators
    resolving = authenticators.resolve(await _credential(request), _origin(request))
    principal = await admitted(request, resolving, _account)
    heard(request, principal)
    if principal.kind is CredentialKind.LINK:  # also where no permission is needed: a link has no account of its own
        raise InsufficientScope
    policy.require_permissions(principal, permissions)
    return principal


async def _enrolling(request: Request, permissions: Sequence[Permission]) -> Principal:
    """As `_principal`, for the requests that an administrator may make before enrolling an authenticator."""
    try:
        return await _principal(request, permissions)
    except TotpEnrolmentRequired:
        identity: Identity = portal_of(request).identity
        resolving = identity.sessions.resolve_to_enrol(await _credential(request))
        principal = await admitted(request, resolving, _account)
        heard(request, principal)
        return principal


def caller(
    *permissions: Permission,
    by: Callable[[Request, Sequence[Permission]], Awaitable[Principal]] = _principal,
    checks: Sequence[Callable[[Principal], None]] = (),
) -> Any:
    """The dependency of a route on its caller, found by `by`, with what is checked of every caller of that route."""

    @asks_for(Asked((bearer, sign_in, api_key), permissions))
    async def resolved(request: Request) -> Principal:
        principal = await by(request, permissions)
        for check in checks:
            check(principal)
        return principal

    return Depends(resolved)


def heard(request: Request, principal: Principal) -> None:
    """Store the principal as the request's actor: the audit log names it if the request is refused later."""
    request.scope["state"]["actor"] = principal.actor


def _account(principal: Principal) -> str:
    """The key for rate limits: one for all sessions of an account, and one for each of its tokens.

    A leaked token therefore cannot use up its owner's limit.
    """
    return principal.actor


async def admitted(request: Request, resolving: Awaitable[_T], who: Callable[[_T], str]) -> _T:
    """Await `resolving`, and count the request for rate limits: by `who(result)`, or by address where it fails.

    Raises NotSignedIn, TotpEnrolmentRequired, and the refusal of the rate limit.
    """
    limits: Limits = request.app.state.limits
    try:
        resolved = await resolving
    except (NotSignedIn, TotpEnrolmentRequired):
        await limits.count_by_principal(request, None)
        raise
    request.scope["state"]["caller"] = who(resolved)  # for the access log
    await limits.count_by_principal(request, who(resolved))
    return resolved


_IF_MATCH = 'The ETag that was read, in its quotes, or `*`. Example: `"1"`, which is version 1.'


async def _version(
    if_match: Annotated[str | None, Header(alias="If-Match", description=_IF_MATCH)] = None,
) -> int | None:
    """The version of `If-Match`. It stands after the principal in a signature: the credential is checked first."""
    return expected_version(if_match)


def json_of(model: type[_Model]) -> Any:
    """A dependency for the JSON body as `model`: it stands after the principal, and so is read after it."""

    @parses(model)
    async def read(request: Request) -> _Model:
        return await json_body(request, model)

    return Depends(read)


_RUNS_ACCOUNTS = partial(policy.require, action=Action.USER_MANAGE)
SignedIn = Annotated[Principal, caller()]
"""Any valid credential. An administrator's session also needs an authenticator, where the portal requires one."""
ReadsFiles = Annotated[Principal, caller(Permission.FILES_READ)]
ChangesFiles = Annotated[Principal, caller(Permission.FILES_CHANGE)]
MovesFiles = Annotated[Principal, caller(Permission.FILES_CHANGE, Permission.FILES_UPLOAD)]
"""Moving a file also uploads it to its new place, where other callers can read it: so it needs both permissions."""
Downloads = Annotated[Principal, caller(Permission.DOWNLOAD_RAW)]
ReadsCases = Annotated[Principal, caller(Permission.CASES_READ)]
ChangesCases = Annotated[Principal, caller(Permission.CASES_CHANGE)]
WithAccount = Annotated[Principal, caller(Permission.ACCOUNT)]
Enrols = Annotated[Principal, caller(Permission.ACCOUNT, by=_enrolling)]
ADMIN_ERRORS: tuple[type[PortalError], ...] = (
    NotSignedIn,
    InsufficientScope,
    Forbidden,
    TotpEnrolmentRequired,
    Unavailable,
)
"""Errors of every route for administrators."""
Administers = Annotated[Principal, caller(Permission.ADMINISTER)]
RunsAccounts = Annotated[Principal, caller(Permission.ADMINISTER, checks=[_RUNS_ACCOUNTS])]
WithFreshSignIn = Annotated[Principal, caller(Permission.ACCOUNT, checks=[require_fresh])]
"""For requests that create something that outlives the session: the password was entered recently."""
GivesAccounts = Annotated[Principal, caller(Permission.ADMINISTER, checks=[_RUNS_ACCOUNTS, require_fresh])]
"""As `RunsAccounts`, with a fresh sign-in: for requests that give a person access, or another account's files."""

RequestOrigin = Annotated[Origin, AtHand(_origin)]
IfMatch = Annotated[int | None, Depends(_version)]
AccountNamesDep = Annotated[AccountNames, of_portal("identity.account_names")]
IdentityDep = Annotated[Identity, of_portal("identity")]
