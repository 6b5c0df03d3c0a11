"""Request bodies: streamed with a size limit, or parsed strictly as JSON.

Comes in: a request. Leaves: chunks as they arrive, or one JSON value without ambiguity. `UploadFile` and
`request.form()` are never used: they spool plaintext to the disk.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import Scope

from portal.core.buffer import Buffer
from portal.core.errors import ClientGone, InvalidInput, TooLarge
from portal.web.direct import BUFFER_BYTES
from portal.web.errors import UnsupportedMediaType

_ROOM_BYTES = 1 << 20
_STREAMS, _MODEL = "__streams_body__", "__body_model__"
_Model = TypeVar("_Model", bound=BaseModel)
_Callable = TypeVar("_Callable", bound=Callable[..., Any])
Streaming = list[tuple[str, re.Pattern[str]]]
"""(method, path pattern) of every route that streams its body."""


def streams_body(endpoint: _Callable) -> _Callable:
    """Decorator: declares that a route streams its body, and limits its size itself."""
    setattr(endpoint, _STREAMS, True)
    return endpoint


def streaming_of(routes: Sequence[BaseRoute]) -> Streaming:
    """The routes that stream their bodies. The app stores the result in `state.streaming`, where `streams` reads it."""
    return [
        (method, route.path_regex)
        for route in iter_route_contexts(routes)
        if getattr(route.endpoint, _STREAMS, False)
        for method in route.methods or ()
    ]


def streams(scope: Scope) -> bool:
    """Whether a request goes to a route that streams its body."""
    streaming: Streaming = scope["app"].state.streaming
    return any(method == scope["method"] and path.match(scope["path"]) for method, path in streaming)


def parses(model: type[BaseModel]) -> Callable[[_Callable], _Callable]:
    """Decorator: declares that a dependency parses the body as `model`, for the OpenAPI document. FastAPI itself cannot
    see it.
    """

    def mark(dependency: _Callable) -> _Callable:
        setattr(dependency, _MODEL, model)
        return dependency

    return mark


def parsed_by(dependant: Dependant) -> type[BaseModel] | None:
    """The model of the body that a route or one of its dependencies parses; None if there is none."""
    for needed in dependant.dependencies:
        model: type[BaseModel] | None = getattr(needed.call, _MODEL, None) or parsed_by(needed)
        if model is not None:
            return model
    return None


def announced_length(request: Request) -> int | None:
    """The Content-Length in bytes; None without one (a chunked body, for example)."""
    length = request.headers.get("content-length")
    return None if length is None else int(length)


def refuse_announced(request: Request, limit: int) -> None:
    """Check Content-Length before the first body byte is read. Raises TooLarge if it exceeds `limit` bytes."""
    if (announced_length(request) or 0) > limit:
        raise TooLarge


async def body_chunks(request: Request, limit: int) -> AsyncIterator[Buffer]:
    """The body in chunks as they arrive. A chunk is valid only until the next one is requested: its memory is reused.

    Raises TooLarge over `limit` bytes; ClientGone if the client disconnects, or the body is not exactly as long as
    Content-Length says.
    """
    size, more, announced = 0, True, announced_length(request)
    _offer_room(request)
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size, more = size + len(chunk), message.get("more_body", False)
        if size > limit:
            raise TooLarge
        if chunk:
            yield chunk
    if announced is not None and size != announced:
        raise ClientGone


def _offer_room(request: Request) -> None:
    """Offer a buffer to the server, for bodies over 1 MiB: `web/direct` reads from the socket straight into it."""
    rooms = request.scope.get("extensions", {}).get(BUFFER_BYTES)
    if rooms is not None and (announced_length(request) or 0) > _ROOM_BYTES:
        rooms["view"] = memoryview(bytearray(_ROOM_BYTES))


async def whole_body(request: Request) -> bytes:
    """The whole body in memory; `middleware.BodyLimit` limits its size. Raises ClientGone."""
    try:
        return await request.body()
    except ClientDisconnect:
        raise ClientGone from None


async def json_body(request: Request, model: type[_Model]) -> _Model:
    """The JSON body as `model`: UTF-8, no repeated key, no NaN, no lone surrogate.

    Dependencies call it after they have authenticated the caller; FastAPI itself would read the body before that.
    Raises UnsupportedMediaType, InvalidInput (not such JSON), RequestValidationError (not such a model), ClientGone.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with the header Content-Type: application/json.")
    try:
        text = (await whole_body(request)).decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise InvalidInput(
            "The body is not JSON: send one value in UTF-8, each name once, numbers as JSON has them."
        ) from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in error.errors()]) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key is repeated")
    return dict(pairs)


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
