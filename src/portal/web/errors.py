"""Errors on the wire: RFC 9457 problem documents with a stable `code`, and their documentation in the OpenAPI.

Comes in: any exception. Leaves: `application/problem+json`, which never repeats content of the request. Every code has
a line in `docs/errors.md`: a test holds that.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from portal.core import log
from portal.core.errors import (
    InsufficientScope,
    InvalidInput,
    NotFound,
    NotSignedIn,
    PortalError,
    RangeNotSatisfiable,
    StorageFull,
    TooLarge,
    Unavailable,
)
from portal.db.reasons import reason
from portal.web import API
from portal.web.nearest import names_no_id, nearest
from portal.web.validation import Fault, faults

_log = log.get(__name__)
PROBLEM_JSON = "application/problem+json"
_FRAMEWORK = {  # refusals of the framework itself: an unknown path, a method, a body that it cannot read
    400: ("invalid_input", "The request is malformed."),
    404: ("not_found", NotFound.title),
    405: ("method_not_allowed", "This path does not take that method."),
    413: ("too_large", "The body is larger than allowed."),
}


_CHALLENGE = 'Bearer realm="portal"'
_NO_TOKEN = (
    f"No access token was sent: get one from POST {API}/auth/token (or {API}/links/redeem for a link), then send it as "
    "Authorization: Bearer <token>."
)
_WRONG_TOKEN = "The token that was sent is wrong, expired or revoked: sign in, refresh or redeem again."  # noqa: S105
_NO_SUCH_PATH = f"No such path: check its spelling. The API is below {API}/."


class InvalidField(BaseModel):
    """A field or parameter that is not acceptable."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"in": "query", "name": "limit", "message": "write a whole number"}}
    )

    where: Literal["body", "form", "query", "path", "header"] = Field(alias="in", description="Where it was sent.")
    name: str = Field(description="Its name, with dots below it (`networks.0`); empty for a body as a whole.")
    message: str = Field(description="What is wrong, or what to write.")


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:portal:problem:not_found",
                "title": "There is nothing here for this caller.",
                "status": 404,
                "detail": "There is nothing here for this caller.",
                "code": "not_found",
                "request_id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
            }
        }
    )

    type: str = Field(description="A URN that names the kind of problem.")
    title: str = Field(description="The kind of problem, in one sentence that does not change.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="This occurrence, in one sentence.")
    code: str = Field(description="The last part of `type`: stable, for programs.")
    request_id: str | None = Field(default=None, description="Names this request in the portal's log.")
    error: str | None = Field(default=None, description="RFC 6749's error code, on the token endpoint alone.")
    error_description: str | None = Field(default=None, description="The same as `detail`, as RFC 6749 calls it.")
    errors: list[InvalidField] | None = Field(default=None, description="Of `validation_failed`: at most ten fields.")


class UnsupportedMediaType(PortalError):
    status, code, title = 415, "unsupported_media_type", "The body is not of a type this route takes."


class TooSlow(PortalError):
    status, code, title = 408, "too_slow", "The body came too slowly; nothing of it was kept."


class ValidationFailed(PortalError):
    """Invalid fields or parameters; `faults` has one item for each.

    `ValidationFailed.of` is for a route that reads its fields itself.
    """

    status, code, title = 422, "validation_failed", "A field or parameter is missing, unknown or not acceptable."

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(map(str, faults))[:1000])
        self.faults = faults

    def members(self) -> dict[str, Any]:
        return {"errors": [fault.as_json() for fault in self.faults]}

    @classmethod
    def of(cls, where: str, name: str, message: str) -> Self:
        return cls(Fault(where, name, message))


BODY_ERRORS: tuple[type[PortalError], ...] = (
    InvalidInput,
    UnsupportedMediaType,
    TooSlow,
    TooLarge,
    ValidationFailed,
)
"""The errors that any route with a JSON body may return."""


def problem(error: PortalError, request_id: str | None) -> Response:
    """The response for `error`."""
    return _render(error.status, error.code, error.title, str(error), request_id, error.members(), _headers(error))


def server_error(request_id: str | None) -> Response:
    """The response for an unexpected exception: a fixed text; the details are in the log alone."""
    return problem(PortalError(), request_id)


def install(app: FastAPI, note: Callable[[Request, PortalError], None]) -> None:
    """Render every exception that a route can raise. `note` is called first, for a PortalError; it must not block."""

    async def on_portal_error(request: Request, error: PortalError) -> Response:
        note(request, error)
        return await _on_portal_error(request, error)

    handlers: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
        PortalError: on_portal_error,
        RequestValidationError: _on_validation_error,
        HTTPException: _on_http_exception,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def documented(*errors: type[PortalError]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI `responses` of a route with these errors: one item per status, one example per code."""
    by_status: dict[int, list[type[PortalError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    return {status: _documented(kinds) for status, kinds in sorted(by_status.items())}


def _documented(kinds: list[type[PortalError]]) -> dict[str, Any]:
    examples = {kind.code: {"value": _body(kind.status, kind.code, kind.title, kind.title, None)} for kind in kinds}
    schema = {"$ref": "#/components/schemas/Problem"}
    headers = {name: {"schema": {"type": "string"}} for kind in kinds for name in _headers(kind())}
    return {
        "description": " ".join(dict.fromkeys(kind.title for kind in kinds)),
        **({"headers": headers} if headers else {}),
        "content": {PROBLEM_JSON: {"schema": schema, "examples": examples}},
    }


async def _on_portal_error(request: Request, error: PortalError) -> Response:
    if isinstance(error, Unavailable | StorageFull):
        _log.warning("unavailable", code=error.code, reason=reason(error))
    if not isinstance(error, NotSignedIn):
        return problem(error, request_id_of(request))
    shown = _credential_shown(request)
    answer = problem(NotSignedIn(_WRONG_TOKEN if shown else _NO_TOKEN), request_id_of(request))
    if shown:
        answer.headers["WWW-Authenticate"] = f'{_CHALLENGE}, error="invalid_token"'  # RFC 6750 §3.1
    return answer


def _credential_shown(request: Request) -> bool:
    """Whether the request has a credential, valid or not, in one of the headers where the portal expects one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return (scheme.lower() == "bearer" and bool(token.strip())) or bool(request.headers.get("x-api-token"))


async def _on_validation_error(request: Request, error: RequestValidationError) -> Response:
    return problem(ValidationFailed(*faults(error.errors())), request_id_of(request))


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    code, title = _FRAMEWORK.get(error.status_code, (f"http_{error.status_code}", "The request was refused."))
    detail, headers = title, dict(error.headers or {})
    if error.status_code == 404:
        detail = _not_found(request)
    if error.status_code == 405:
        methods = methods_of(request.scope)
        headers["Allow"] = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        detail = f"{title[:-1]}: it takes {headers['Allow']}."
    return _render(error.status_code, code, title, detail, request_id_of(request), {}, headers)


def _not_found(request: Request) -> str:
    """The detail of a 404: for an id that is not a UUID, the text of an unknown id; for any other path, the route that
    the caller probably meant.
    """
    path: str = request.scope["path"]
    routes = [(one.path, set(one.methods or ())) for one in iter_route_contexts(request.app.routes) if one.path]
    if names_no_id((template for template, _ in routes), path):
        return NotFound.title
    meant = nearest(routes, request.method, path)
    return _NO_SUCH_PATH if meant is None else f"No such path. Did you mean {meant}?"


def methods_of(scope: Scope) -> set[str]:
    """Every method that has a route for this path (RFC 9110 §15.5.6). The framework names only those of the first
    matching route.
    """
    here = [route for route in iter_route_contexts(scope["app"].routes) if route.path_regex.match(scope["path"])]
    return {method for route in here for method in route.methods or ()}


def request_id_of(request: Request) -> str | None:
    """The request id that `middleware.RequestContext` assigned; None outside of it."""
    value = request.scope.get("state", {}).get("request_id")
    return value if isinstance(value, str) else None


def _render(
    status: int,
    code: str,
    title: str,
    detail: str,
    request_id: str | None,
    members: dict[str, Any],
    headers: dict[str, str],
) -> Response:
    body = _body(status, code, title, detail, request_id) | members
    return JSONResponse(body, status_code=status, headers=headers, media_type=PROBLEM_JSON)


def _body(status: int, code: str, title: str, detail: str, request_id: str | None) -> dict[str, Any]:
    named = {} if request_id is None else {"request_id": request_id}
    return {
        "type": f"urn:portal:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        **named,
    }


def _headers(error: PortalError) -> dict[str, str]:
    headers = {}
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = _CHALLENGE
    if isinstance(error, InsufficientScope):
        headers["WWW-Authenticate"] = f'{_CHALLENGE}, error="insufficient_scope"'
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{'*' if error.size is None else error.size}"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return headers
