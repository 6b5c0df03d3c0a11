"""What may stand in the place of a server: something that answers each connection's one request with given bytes."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


def answer(status: str = "200 OK", body: bytes = b"{}", *headers: str, kind: str = "application/json") -> bytes:
    own = [f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close"]
    return "\r\n".join([f"HTTP/1.1 {status}", *own, *headers, "", ""]).encode() + body


@asynccontextmanager
async def standing_in(said: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """The port of a server that answers each connection's one request, head and body, with some bytes, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        writer.write(said(head + body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
