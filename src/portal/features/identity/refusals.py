"""Refusals for the audit log: which errors of requests are one.

Comes in: a request, and the error that it ended with. Leaves: a `Refusal`, or None. Next: `audit/refusals`.
"""

from uuid import UUID

from fastapi import Request

from portal.core.errors import Forbidden, NotFound, NotSignedIn, PortalError
from portal.core.prefixed_tokens import API_TOKEN, LINK_SESSION
from portal.features.audit.refusals import NOBODY, Refusal

_HAVE_AN_EVENT = {"link_refused"}  # its event is written where the link is checked
_CREDENTIALS = {API_TOKEN: "api_token", LINK_SESSION: "link_session"}


def refusal_of(request: Request, error: PortalError) -> Refusal | None:
    """The refusal that an error stands for. None for any other error, and for an object that does not exist.

    A NotFound with an `action` is a refusal: the object exists, and is hidden from the caller.
    """
    if isinstance(error, NotSignedIn):
        return _refused_credential(request, error)
    hidden = isinstance(error, NotFound) and error.action is not None
    if not (hidden or isinstance(error, Forbidden)) or error.code in _HAVE_AN_EVENT:
        return None
    state = request.scope["state"]
    return Refusal(
        actor=state.get("actor") or NOBODY,
        action=error.action or request.scope["route"].name,
        code=error.code,
        subject=error.subject or _named(request),
        address=state.get("address"),
    )


def _refused_credential(request: Request, error: NotSignedIn) -> Refusal | None:
    """The refusal of an invalid, expired or revoked credential. A request without a credential is no refusal."""
    given = request.headers.get("x-api-token") or request.headers.get("authorization", "").partition(" ")[2]
    if not given:
        return None
    kind = next((kind for prefix, kind in _CREDENTIALS.items() if given.startswith(prefix)), "access_token")
    return Refusal(NOBODY, f"credentials.{kind}", error.code, None, request.scope["state"].get("address"))


def _named(request: Request) -> str | None:
    """The first id in the path."""
    for value in request.path_params.values():
        try:
            return str(UUID(str(value)))
        except ValueError:
            continue
    return None
