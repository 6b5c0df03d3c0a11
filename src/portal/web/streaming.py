"""The download response. The first chunk is read before the status line; an error later breaks the connection.

Comes in: an async generator of verified plaintext, and its exact length. Leaves: a response that looks complete to the
client only if it is complete.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Self
from urllib.parse import quote

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from portal.core.errors import Forbidden, NotFound, NotSignedIn, PortalError

OCTET_STREAM = "application/octet-stream"
_JUDGED_SECONDS = 1.0
_MAX_NAME, _MAX_SUFFIX = 255, 32  # bytes: the longest name on common file systems, and the longest suffix in `names`


class Prefetched:
    """An async iterator of chunks, of which the first is fetched already. `aclose` closes the generator behind it, even
    if no chunk was read.
    """

    def __init__(self, first: bytes | memoryview | None, rest: AsyncGenerator[bytes | memoryview, None]) -> None:
        self._first, self._rest = first, rest

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes | memoryview:
        first, self._first = self._first, None
        return await anext(self._rest) if first is None else first

    async def aclose(self) -> None:
        await self._rest.aclose()


async def prefetch_first(chunks: AsyncGenerator[bytes | memoryview, None]) -> Prefetched:
    """The same chunks, with the first one fetched already: an error in it can still become an error response."""
    return Prefetched(await anext(chunks, None), chunks)


class DownloadAborted(Exception):
    """A download broke off in the middle. Its outcome is recorded already; the server breaks the connection, and drops
    what it still holds if the right to the download has ended.
    """

    def __init__(self, *, right_ended: bool = False) -> None:
        super().__init__()
        self.right_ended = right_ended


class DownloadResponse(StreamingResponse):
    """Streams `chunks`, and closes them however the response ends. Raises DownloadAborted for a PortalError in them, of
    `send`, or of `judge`: this is asked until the client took everything, for a slow one takes the next chunk after
    minutes.
    """

    def __init__(
        self, chunks: Prefetched, judge: Callable[[], Awaitable[None]], *, status: int, headers: dict[str, str]
    ) -> None:
        super().__init__(chunks, status_code=status, headers=headers, media_type=OCTET_STREAM)
        self._chunks, self._judge = chunks, judge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._chunks):
            try:
                await super().__call__(scope, receive, send)
            except PortalError as error:
                error.__traceback__ = None  # its frames hold chunks, in a cycle: until the next garbage collection
                raise DownloadAborted(right_ended=isinstance(error, NotSignedIn | NotFound | Forbidden)) from None

    async def listen_for_disconnect(self, receive: Receive) -> None:
        """Runs beside the stream, and ends it."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_JUDGED_SECONDS):
                    return await super().listen_for_disconnect(receive)
            await self._judge()


def attachment(name: str, mark: str) -> str:
    """The Content-Disposition (RFC 6266) of a download: `attachment`, never `inline`, with the full name in RFC 8187
    encoding and an ASCII fallback.

    `mark` is inserted into a fallback that differs from the name. It distinguishes files whose names become the same in
    ASCII, for clients that read only the fallback (curl -OJ).
    """
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    if plain != name:
        stem, dot, suffix = plain.rpartition(".")
        if not stem or len(suffix) > _MAX_SUFFIX:
            stem, dot, suffix = plain, "", ""
        plain = f"{stem[: _MAX_NAME - len(mark) - len(dot + suffix) - 1]}-{mark}{dot}{suffix}"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
