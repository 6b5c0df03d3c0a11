"""What identity's routes take, read after it is known who sends it: the token request, JSON bodies, queries."""

from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends, Query, Request
from pydantic import BaseModel

from portal.core.principal import Principal
from portal.features.identity import deps, schemas
from portal.web.bodies import json_body
from portal.web.errors import InvalidTokenRequest, UnsupportedMediaType

_FORM = "application/x-www-form-urlencoded"
_MAX_FORM_BYTES = 16 << 10
_MAX_FIELDS = 16
_Model = TypeVar("_Model", bound=BaseModel)


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


def _json(model: type[_Model], who: Any = None) -> Any:
    """The body as `model`; `who` is the principal's annotation in the route's own signature, asked for once."""

    async def read(request: Request) -> _Model:
        return await json_body(request, model)

    if who is None:
        return Depends(read)
    asked = who.__metadata__[0]

    async def read_after(request: Request, _: Principal = asked) -> _Model:
        return await json_body(request, model)

    return Depends(read_after)


TokenForm = Annotated[dict[str, str], Depends(_token_form)]
Listing = Annotated[schemas.AccountQuery, Query()]
NewUser = Annotated[schemas.UserCreate, _json(schemas.UserCreate, deps.RunsAccounts)]
Patch = Annotated[schemas.UserPatch, _json(schemas.UserPatch, deps.RunsAccounts)]
NewInvitation = Annotated[schemas.InvitationCreate, _json(schemas.InvitationCreate, deps.RunsAccounts)]
NewPassword = Annotated[schemas.PasswordChange, _json(schemas.PasswordChange, deps.WithAccount)]
Proof = Annotated[schemas.PasswordProof, _json(schemas.PasswordProof, deps.Enrols)]
EnrolmentProof = Annotated[schemas.CodeProof, _json(schemas.CodeProof, deps.Enrols)]
RemovalProof = Annotated[schemas.CodeProof, _json(schemas.CodeProof, deps.WithAccount)]
Registering = Annotated[schemas.Register, _json(schemas.Register)]
SettingPassword = Annotated[schemas.PasswordSet, _json(schemas.PasswordSet)]
