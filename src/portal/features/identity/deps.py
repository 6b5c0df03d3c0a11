"""Who calls, for route signatures: `SignedIn` in a signature means that a live session is needed.

Comes in: the Authorization header. Leaves: a Principal. A credential of another kind (API tokens, links) will be tried
by a resolver that its feature adds to `app.state.resolvers`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel

from portal.core.errors import NotSignedIn
from portal.core.principal import Action, Origin, Principal
from portal.features.authz import policy
from portal.features.identity import schemas
from portal.features.identity.service import Identity
from portal.web import API
from portal.web.bodies import json_body
from portal.web.conditions import expected_version
from portal.web.errors import InvalidTokenRequest, UnsupportedMediaType, request_id_of

Resolver = Callable[[str], Awaitable[Principal]]
"""Gives the principal of a credential, or raises NotSignedIn."""

_FORM = "application/x-www-form-urlencoded"
_MAX_FORM_BYTES = 16 << 10
_MAX_FIELDS = 16
_Model = TypeVar("_Model", bound=BaseModel)

bearer = OAuth2PasswordBearer(
    tokenUrl=f"{API}/auth/token",
    refreshUrl=f"{API}/auth/token",
    scheme_name="password",
    description="Sign in with name and password; send the access token as `Authorization: Bearer`.",
    auto_error=False,
)


async def _principal(request: Request, token: Annotated[str | None, Security(bearer)]) -> Principal:
    resolvers: Sequence[Resolver] = request.app.state.resolvers
    if not token:
        raise NotSignedIn
    for resolve in resolvers[:-1]:
        try:
            return await resolve(token)
        except NotSignedIn:
            continue
    return await resolvers[-1](token)


async def _enrols(request: Request, token: Annotated[str | None, Security(bearer)]) -> Principal:
    if not token:
        raise NotSignedIn
    identity: Identity = request.app.state.identity
    return await identity.sessions.resolve_to_enrol(token)


async def _administers(principal: Annotated[Principal, Depends(_principal)]) -> Principal:
    policy.require(principal, Action.USER_MANAGE)
    return principal


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


def _json(model: type[_Model], who: Callable[..., Awaitable[Principal]] | None = None) -> Any:
    """The body as `model`, read after it is known who sends it, where that is asked."""

    async def read(request: Request) -> _Model:
        return await json_body(request, model)

    async def read_after(request: Request, _: Annotated[Principal, Depends(who)]) -> _Model:
        return await json_body(request, model)

    return Depends(read if who is None else read_after)


async def _version(
    _: Annotated[Principal, Depends(_administers)],
    if_match: Annotated[str | None, Header(description='The ETag that was read, or `*`. Example: `"1"`')] = None,
) -> int | None:
    return expected_version(if_match)


SignedIn = Annotated[Principal, Depends(_principal)]
"""A live session is needed, and an authenticator where the portal wants one of its administrators."""
Enrols = Annotated[Principal, Depends(_enrols)]
"""A live session is enough: for an administrator who has no authenticator yet."""
Administers = Annotated[Principal, Depends(_administers)]
IfMatch = Annotated[int | None, Depends(_version)]
Listing = Annotated[schemas.AccountQuery, Query()]
NewUser = Annotated[schemas.UserCreate, _json(schemas.UserCreate, _administers)]
Patch = Annotated[schemas.UserPatch, _json(schemas.UserPatch, _administers)]
NewInvitation = Annotated[schemas.InvitationCreate, _json(schemas.InvitationCreate, _administers)]
NewPassword = Annotated[schemas.PasswordChange, _json(schemas.PasswordChange, _principal)]
Proof = Annotated[schemas.PasswordProof, _json(schemas.PasswordProof, _enrols)]
EnrolmentProof = Annotated[schemas.CodeProof, _json(schemas.CodeProof, _enrols)]
RemovalProof = Annotated[schemas.CodeProof, _json(schemas.CodeProof, _principal)]
Registering = Annotated[schemas.Register, _json(schemas.Register)]
SettingPassword = Annotated[schemas.PasswordSet, _json(schemas.PasswordSet)]
From = Annotated[Origin, Depends(_origin)]
WithIdentity = Annotated[Identity, Depends(_identity)]
TokenForm = Annotated[dict[str, str], Depends(_token_form)]
