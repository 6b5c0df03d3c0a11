"""Request bodies: streamed with a cap, or parsed strictly. Never `UploadFile` or `request.form()`: they spool in clear.

Comes in: a request. Leaves: chunks as they arrive, or one JSON value that every reader reads the same way.
"""

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from portal.core.errors import ClientGone, TooLarge


def refuse_announced(request: Request, limit: int) -> None:
    """Judge Content-Length before the first byte is read. Raises TooLarge."""
    length = request.headers.get("content-length")
    if length is not None and int(length) > limit:
        raise TooLarge


async def body_chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body as it comes. Raises TooLarge over `limit` bytes, ClientGone for a body that was cut off."""
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise TooLarge
            if chunk:
                yield chunk
    except ClientDisconnect:
        raise ClientGone from None


class StrictJsonRoute(APIRoute):
    """A route whose JSON body is UTF-8, has no key twice, no NaN and no lone surrogate."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict


class _StrictRequest(Request):
    async def json(self) -> Any:
        try:
            text = (await self.body()).decode("utf-8")
            value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
        except (ValueError, RecursionError):
            raise HTTPException(400) from None
        return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key is repeated")
    return dict(pairs)


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
