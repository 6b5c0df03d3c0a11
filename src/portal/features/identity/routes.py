"""Sign-in, refresh, sign-out, and who am I. Next: `owner_routes` and `accounts_routes` have the rest."""

from typing import Any

from fastapi import APIRouter, Response

from portal.core.errors import (
    InsufficientScope,
    InvalidGrant,
    NotSignedIn,
    PortalError,
    TooLarge,
    TooManyAttempts,
    TotpRequired,
    Unavailable,
    Unprocessable,
)
from portal.core.principal import Origin
from portal.features.identity.bodies import TokenForm
from portal.features.identity.deps import Enrols, From, SignedIn, WithIdentity
from portal.features.identity.schemas import TokenOut, UserOut
from portal.features.identity.service import Identity
from portal.features.identity.sessions import TokenPair, TotpEnrolmentRequired
from portal.web.errors import InvalidTokenRequest, TooSlow, UnsupportedMediaType, documented

router = APIRouter()

_TOKEN_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["password", "refresh_token"]},
                        "username": {"type": "string"},
                        "password": {"type": "string", "format": "password"},
                        "totp": {
                            "type": "string",
                            "description": "Where the account has an authenticator: its code, or a recovery code.",
                        },
                        "refresh_token": {"type": "string"},
                        "scope": {"type": "string", "description": "Ignored: an account has one role."},
                    },
                    "oneOf": [  # what each grant needs; the properties stand above, where Swagger UI looks for them
                        {
                            "properties": {"grant_type": {"const": "password"}},
                            "required": ["username", "password"],
                        },
                        {
                            "properties": {"grant_type": {"const": "refresh_token"}},
                            "required": ["refresh_token"],
                        },
                    ],
                },
                "example": {"grant_type": "password", "username": "alice", "password": "correct horse battery"},
            }
        },
    }
}
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
async def create_token(form: TokenForm, identity: WithIdentity, origin: From) -> TokenOut:
    """OAuth2 password and refresh-token grants (RFC 6749 §4.3, §6)."""
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
async def logout(principal: Enrols, identity: WithIdentity, origin: From) -> Response:
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
async def logout_all(principal: Enrols, identity: WithIdentity, origin: From) -> Response:
    """Ends every session of the account, this one too; running downloads within a second."""
    await identity.owner.end_all_sessions(principal, origin)
    return Response(status_code=204)


@router.get(
    "/users/me",
    tags=["users"],
    summary="Who am I?",
    response_description="The account.",
    responses=documented(NotSignedIn, TotpEnrolmentRequired, Unavailable),
)
async def read_me(principal: SignedIn, identity: WithIdentity) -> UserOut:
    """The account that the credential stands for."""
    user = await identity.users.get(principal.user_id)
    return UserOut.of(user)


async def _grant(form: dict[str, str], identity: Identity, origin: Origin) -> TokenPair:
    kind = form.get("grant_type")
    if kind == "password" and {"username", "password"} <= form.keys():
        return await identity.sessions.sign_in(form["username"], form["password"], origin, form.get("totp"))
    if kind == "refresh_token" and "refresh_token" in form:
        return await identity.sessions.refresh(form["refresh_token"], origin)
    if kind in {None, "password", "refresh_token"}:
        raise InvalidTokenRequest("invalid_request", "The token request lacks a field.")
    raise InvalidTokenRequest("unsupported_grant_type", "Only password and refresh_token are granted.")
