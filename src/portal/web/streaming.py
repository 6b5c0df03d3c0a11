"""The download response: exact length, first bytes before the status line, a broken connection for a broken file.

Comes in: an async generator of verified plaintext. Leaves: an answer that a client can take for whole only if it is.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Self
from urllib.parse import quote

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from portal.core.errors import PortalError

OCTET_STREAM = "application/octet-stream"
_MAX_NAME, _MAX_SUFFIX = 255, 32  # bytes that any file system takes; and as `names` counts them


class Prefetched:
    """Chunks whose first was already fetched. Closing it closes them, whether or not it was ever read."""

    def __init__(self, first: bytes | None, rest: AsyncGenerator[bytes, None]) -> None:
        self._first, self._rest = first, rest

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        first, self._first = self._first, None
        return await anext(self._rest) if first is None else first

    async def aclose(self) -> None:
        await self._rest.aclose()


async def prefetch_first(chunks: AsyncGenerator[bytes, None]) -> Prefetched:
    """The same bytes, the first of them already fetched: what fails at once is still a clean error."""
    return Prefetched(await anext(chunks, None), chunks)


class DownloadAborted(Exception):
    """A download broke in the middle, and how is on record: the connection is to be broken without more ado."""


class DownloadResponse(StreamingResponse):
    """Streams `chunks`, and closes them however the answer ends."""

    def __init__(self, chunks: Prefetched, *, status: int, headers: dict[str, str]) -> None:
        super().__init__(chunks, status_code=status, headers=headers, media_type=OCTET_STREAM)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._chunks):
            try:
                await super().__call__(scope, receive, send)
            except PortalError:
                raise DownloadAborted from None


def attachment(name: str, mark: str) -> str:
    """Content-Disposition (RFC 6266), with the full name as RFC 8187 encodes it. Never `inline`.

    `mark` tells two files apart whose names are alike in ASCII, for clients that know no other (curl -OJ).
    """
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    if plain != name:
        stem, dot, suffix = plain.rpartition(".")
        if not stem or len(suffix) > _MAX_SUFFIX:
            stem, dot, suffix = plain, "", ""
        plain = f"{stem[: _MAX_NAME - len(mark) - len(dot + suffix) - 1]}-{mark}{dot}{suffix}"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
