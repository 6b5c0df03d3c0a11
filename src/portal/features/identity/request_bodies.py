"""Request bodies and queries of the identity routes. A body is read only after the caller is authenticated, where the
route needs that.
"""

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Query, Request

from portal.core.principal import EVERY_PERMISSION, OF_LINKS, Permission
from portal.features.identity import schemas
from portal.features.identity.deps import json_of
from portal.features.identity.grant_errors import InvalidTokenRequest
from portal.features.identity.session_schemas import SessionQuery
from portal.features.identity.sign_in_schemas import TokenRequest
from portal.web.bodies import parses, whole_body
from portal.web.errors import UnsupportedMediaType

_FORM = "application/x-www-form-urlencoded"
_MAX_FORM_BYTES = 16 << 10
_MAX_FIELDS = 16
TOKEN_FIELDS = ("grant_type", "username", "password", "totp", "refresh_token", "scope")


@parses(TokenRequest)
async def _token_form(request: Request) -> dict[str, str]:
    """The fields of a token request. RFC 6749 §3.2: urlencoded, each field at most once.

    Raises UnsupportedMediaType, InvalidTokenRequest.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise UnsupportedMediaType(f"Send the token request as {_FORM}.")
    body = await whole_body(request)
    if len(body) > _MAX_FORM_BYTES:
        raise InvalidTokenRequest("invalid_request", f"The token request is longer than {_MAX_FORM_BYTES:,} bytes.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidTokenRequest("invalid_request", "The token request is not urlencoded UTF-8.") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise InvalidTokenRequest("invalid_request", f"A field of the token request is repeated: {_repeated(pairs)}.")
    return dict(pairs)


def _repeated(pairs: list[tuple[str, str]]) -> str:
    """The first repeated field among those of a token request. A client's own field names are not echoed."""
    names = [name for name, _ in pairs]
    return next((name for name in TOKEN_FIELDS if names.count(name) > 1), "send each once")


def asked_scope(form: dict[str, str]) -> frozenset[Permission]:
    """The permissions of the `scope` field (RFC 6749 §3.3): words with spaces between them. Without words, all.

    Raises InvalidTokenRequest for a word that is no permission of a sign-in.
    """
    words = form.get("scope", "").split()
    try:
        asked = frozenset(map(Permission, words))
    except ValueError:
        asked = OF_LINKS
    if not asked <= EVERY_PERMISSION:
        raise InvalidTokenRequest("invalid_scope", "The scope names something that no sign-in can be used for.")
    return asked or EVERY_PERMISSION


TokenForm = Annotated[dict[str, str], Depends(_token_form)]
Listing = Annotated[schemas.UserQuery, Query()]
NewUser = Annotated[schemas.UserCreate, json_of(schemas.UserCreate)]
Patch = Annotated[schemas.UserUpdate, json_of(schemas.UserUpdate)]
NewInvitation = Annotated[schemas.InvitationCreate, json_of(schemas.InvitationCreate)]
NewPassword = Annotated[schemas.PasswordUpdate, json_of(schemas.PasswordUpdate)]
Proof = Annotated[schemas.TotpCreate, json_of(schemas.TotpCreate)]
EnrolmentProof = Annotated[schemas.TotpRequest, json_of(schemas.TotpRequest)]
RemovalProof = Annotated[schemas.TotpRequest, json_of(schemas.TotpRequest)]
Registering = Annotated[schemas.RegisterRequest, json_of(schemas.RegisterRequest)]
Confirming = Annotated[schemas.ConfirmRequest, json_of(schemas.ConfirmRequest)]
WhoseSessions = Annotated[SessionQuery, Query()]
Resetting = Annotated[schemas.ResetQuery, Query()]
SettingPassword = Annotated[schemas.SetPasswordRequest, json_of(schemas.SetPasswordRequest)]
