"""The download response: exact length, first bytes before the status line, a broken connection for a broken file.

Comes in: an async generator of verified plaintext. Leaves: an answer that a client can take for whole only if it is.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from urllib.parse import quote

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

OCTET_STREAM = "application/octet-stream"


class DownloadResponse(StreamingResponse):
    """Streams `chunks`, and closes them however the answer ends."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], *, status: int, headers: dict[str, str]) -> None:
        super().__init__(chunks, status_code=status, headers=headers, media_type=OCTET_STREAM)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._chunks):
            await super().__call__(scope, receive, send)


async def primed(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same bytes, the first of them already fetched: what fails at once is still a clean error."""
    first = await anext(chunks, None)

    async def replay() -> AsyncGenerator[bytes, None]:
        async with aclosing(chunks):
            if first is not None:
                yield first
            async for chunk in chunks:
                yield chunk

    return replay()


def attachment(name: str) -> str:
    """Content-Disposition (RFC 6266), with the full name as RFC 8187 encodes it. Never `inline`."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
