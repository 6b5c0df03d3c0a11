"""Sign-in, refresh, sign-out, and the caller's own account over HTTP.

The other routes of identity are in `own_account_routes`, `session_routes` and `accounts_routes`.
"""

from typing import Any

from fastapi import Response

from portal.core.errors import InsufficientScope, NotSignedIn, PortalError, TooLarge, Unavailable, Unprocessable
from portal.core.principal import Origin
from portal.core.rates import RouteClass
from portal.features.identity.deps import Enrols, IdentityDep, RequestOrigin, SignedIn
from portal.features.identity.grant_errors import InvalidGrant, InvalidTokenRequest, TotpRequired
from portal.features.identity.request_bodies import TokenForm, asked_scope
from portal.features.identity.schemas import MeOut
from portal.features.identity.service import Identity
from portal.features.identity.sessions import TokenPair, TotpEnrolmentRequired
from portal.features.identity.sign_in_schemas import TokenOut
from portal.features.identity.throttle import TooManyAttempts
from portal.web import routing
from portal.web.errors import TooSlow, UnsupportedMediaType, documented
from portal.web.limits import rated

router = routing.router()

_TOKEN_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {"$ref": "#/components/schemas/TokenRequest"},
                "example": {"grant_type": "password", "username": "alice", "password": "correct horse battery"},
            }
        },
    }
}
_NEEDED = {"password": ("username", "password"), "refresh_token": ("refresh_token",)}
"""The fields of each grant. The document says it in words: an `oneOf` would take the types from generated clients."""
_TOKEN_ERRORS: list[type[PortalError]] = [
    InvalidGrant,
    TotpRequired,
    InvalidTokenRequest,
    TooManyAttempts,
    TooSlow,
    TooLarge,
    UnsupportedMediaType,
    Unprocessable,
    Unavailable,
]


@router.post(
    "/auth/token",
    tags=["auth"],
    summary="Sign in, or refresh a sign-in",
    response_description="A pair of tokens.",
    responses=documented(*_TOKEN_ERRORS),
    openapi_extra=_TOKEN_FORM,
)
@rated(RouteClass.SIGN_IN)
async def create_token(form: TokenForm, identity: IdentityDep, origin: RequestOrigin) -> TokenOut:
    """`grant_type=password` with `username` and `password`, and `totp` where the account has an authenticator;
    `grant_type=refresh_token` with `refresh_token` (OAuth2, RFC 6749 §4.3 and §6).
    """
    pair = await _grant(form, identity, origin)
    return TokenOut(
        access_token=pair.access_token,
        expires_in=pair.expires_in,
        refresh_token=pair.refresh_token,
        scope=pair.scope,
    )


@router.post(
    "/auth/logout",
    tags=["auth"],
    summary="Sign out",
    status_code=204,
    response_description="The session is over.",
    responses=documented(NotSignedIn, InsufficientScope, Unavailable),
)
@rated(RouteClass.CHANGE)
async def logout(principal: Enrols, identity: IdentityDep, origin: RequestOrigin) -> Response:
    """Ends the session: its access and refresh tokens are refused from the next request on."""
    await identity.sessions.sign_out(principal, origin)
    return Response(status_code=204)


@router.post(
    "/auth/logout-all",
    tags=["auth"],
    summary="Sign out everywhere",
    status_code=204,
    response_description="Every session of the account is over.",
    responses=documented(NotSignedIn, Unavailable),
)
@rated(RouteClass.CHANGE)
async def logout_all(principal: Enrols, identity: IdentityDep, origin: RequestOrigin) -> Response:
    """Ends every session of the account, the caller's included, and within a second their running downloads."""
    await identity.own_account.end_all_sessions(principal, origin)
    return Response(status_code=204)


@router.get(
    "/users/me",
    tags=["account"],
    summary="Read your own account",
    response_description="The account.",
    responses=documented(NotSignedIn, TotpEnrolmentRequired, Unavailable),
)
@rated(RouteClass.READ)
async def read_me(principal: SignedIn, identity: IdentityDep) -> MeOut:
    """The account of the caller's credential."""
    user = await identity.users.get(principal.user_id)
    return MeOut.of(user)


async def _grant(form: dict[str, str], identity: Identity, origin: Origin) -> TokenPair:
    kind = form.get("grant_type")
    if kind is not None and kind not in _NEEDED:
        raise InvalidTokenRequest("unsupported_grant_type", "grant_type is password or refresh_token.")
    missing = ["grant_type"] if kind is None else [name for name in _NEEDED[kind] if name not in form]
    if missing:
        raise InvalidTokenRequest("invalid_request", f"The token request lacks {' and '.join(missing)}.")
    asked, code = asked_scope(form), form.get("totp") or None
    if kind == "password":
        return await identity.sessions.sign_in(form["username"], form["password"], origin, code, asked)
    return await identity.sessions.refresh(form["refresh_token"], origin)  # for what the sign-in was: it says so
