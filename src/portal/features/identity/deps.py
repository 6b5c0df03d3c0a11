"""Who calls, for route signatures: `SignedIn` in a signature means that a live session is needed.

Comes in: the Authorization header. Leaves: a Principal. A credential of another kind (API tokens, links) will be tried
by a resolver that its feature adds to `app.state.resolvers`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Security
from fastapi.security import OAuth2PasswordBearer

from portal.core.errors import NotSignedIn
from portal.core.principal import Origin, Principal
from portal.features.identity.service import Identity
from portal.web import API
from portal.web.errors import InvalidTokenRequest, UnsupportedMediaType, request_id_of
from portal.web.limits import Limits

Resolver = Callable[[str], Awaitable[Principal]]
"""Gives the principal of a credential, or raises NotSignedIn."""

_FORM = "application/x-www-form-urlencoded"
_MAX_FORM_BYTES = 16 << 10
_MAX_FIELDS = 16

bearer = OAuth2PasswordBearer(
    tokenUrl=f"{API}/auth/token",
    refreshUrl=f"{API}/auth/token",
    scheme_name="password",
    description="Sign in with name and password; send the access token as `Authorization: Bearer`.",
    auto_error=False,
)


async def _principal(request: Request, token: Annotated[str | None, Security(bearer)]) -> Principal:
    limits: Limits = request.app.state.limits
    try:
        principal = await _resolved(request.app.state.resolvers, token)
    except NotSignedIn:
        await limits.admit(request, None)
        raise
    await limits.admit(request, principal.actor)
    return principal


async def _resolved(resolvers: Sequence[Resolver], token: str | None) -> Principal:
    if not token:
        raise NotSignedIn
    for resolve in resolvers[:-1]:
        try:
            return await resolve(token)
        except NotSignedIn:
            continue
    return await resolvers[-1](token)


async def _origin(request: Request) -> Origin:
    return Origin(request_id_of(request), request.scope["state"].get("address"))


async def _identity(request: Request) -> Identity:
    identity: Identity = request.app.state.identity
    return identity


async def _token_form(request: Request) -> dict[str, str]:
    """The token request's fields. RFC 6749 §3.2: urlencoded, each at most once."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise UnsupportedMediaType(f"The token request is {_FORM}.")
    body = await request.body()
    if len(body) > _MAX_FORM_BYTES:
        raise InvalidTokenRequest("invalid_request", "The token request is too long.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidTokenRequest("invalid_request", "The token request is not urlencoded UTF-8.") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise InvalidTokenRequest("invalid_request", "A field of the token request is repeated.")
    return dict(pairs)


SignedIn = Annotated[Principal, Depends(_principal)]
From = Annotated[Origin, Depends(_origin)]
WithIdentity = Annotated[Identity, Depends(_identity)]
TokenForm = Annotated[dict[str, str], Depends(_token_form)]
