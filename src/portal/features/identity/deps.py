"""Who calls, for route signatures: `SignedIn` in a signature means that a good credential is needed.

Comes in: the Authorization or X-API-Token header. Leaves: a Principal whose credential has the permissions that the
route names. What the principal may do with which object is the services' to ask.
"""

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Header, Request, Security
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer, SecurityScopes

from portal.core.errors import NotSignedIn
from portal.core.principal import Origin, Permission, Principal
from portal.features.authz import policy
from portal.features.identity.callers import Callers
from portal.features.identity.service import Identity
from portal.web import API
from portal.web.conditions import expected_version
from portal.web.errors import InvalidTokenRequest, UnsupportedMediaType, request_id_of

_FORM = "application/x-www-form-urlencoded"
_MAX_FORM_BYTES = 16 << 10
_MAX_FIELDS = 16

bearer = OAuth2PasswordBearer(
    tokenUrl=f"{API}/auth/token",
    refreshUrl=f"{API}/auth/token",
    scheme_name="password",
    description="Sign in with name and password; send the access token as `Authorization: Bearer`.",
    scopes={
        Permission.FILES_READ: "list files, read their entries",
        Permission.FILES_UPLOAD: "hand files in",
        Permission.FILES_CHANGE: "change and delete files",
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
    description="An API token (`prt_…`), for services; `Authorization: Bearer` takes one too.",
    auto_error=False,
)


async def _origin(request: Request) -> Origin:
    return Origin(request_id_of(request), request.scope["state"].get("address"))


From = Annotated[Origin, Depends(_origin)]


async def _principal(
    request: Request,
    asked: SecurityScopes,
    origin: From,
    token: Annotated[str | None, Security(bearer)],
    key: Annotated[str | None, Security(api_key)],
) -> Principal:
    callers: Callers = request.app.state.callers
    if bool(token) == bool(key):
        raise NotSignedIn  # none, or two that may say different things
    principal = await callers.resolve(token or key or "", origin)
    policy.require_permissions(principal, map(Permission, asked.scopes))
    return principal


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


SignedIn = Annotated[Principal, Security(_principal)]
ReadsFiles = Annotated[Principal, Security(_principal, scopes=[Permission.FILES_READ])]
UploadsFiles = Annotated[Principal, Security(_principal, scopes=[Permission.FILES_UPLOAD])]
ChangesFiles = Annotated[Principal, Security(_principal, scopes=[Permission.FILES_CHANGE])]
Downloads = Annotated[Principal, Security(_principal, scopes=[Permission.DOWNLOAD_RAW])]
WithAccount = Annotated[Principal, Security(_principal, scopes=[Permission.ACCOUNT])]
ReadsCases = Annotated[Principal, Security(_principal, scopes=[Permission.CASES_READ])]
ChangesCases = Annotated[Principal, Security(_principal, scopes=[Permission.CASES_CHANGE])]
Administers = Annotated[Principal, Security(_principal, scopes=[Permission.ADMINISTER])]


async def _version(
    if_match: Annotated[str | None, Header(description='The ETag that was read, or `*`. Example: `"1"`')] = None,
) -> int | None:
    """Behind the principal in a signature: who is asked comes before what."""
    return expected_version(if_match)


IfMatch = Annotated[int | None, Depends(_version)]
WithIdentity = Annotated[Identity, Depends(_identity)]
TokenForm = Annotated[dict[str, str], Depends(_token_form)]
