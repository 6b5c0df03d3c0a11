"""What stands between a portal and its key server, and is slow or talks nonsense when told to.

Comes in: the server's port on loopback. Leaves: a port that passes everything on, but for the answers in a bad mood.
"""

import asyncio
import base64
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from enum import StrEnum

from .passing import Passing, serving

_ROOM = 1 << 16
SLOW_SECONDS = 30.0


class Mood(StrEnum):
    """What becomes of the server's answers."""

    PASS_ON = "pass on"
    SLOW = "slow"
    NONSENSE = "nonsense"


def _answer(status: str, kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def nonsense() -> Iterator[bytes]:
    """What a broken server or proxy may say, over and over: also what looks like the answer to a wrap or an unwrap."""
    for number in itertools.count():
        other = base64.b64encode(os.urandom(32)).decode()
        sealed = "vault:v1:" + base64.b64encode(os.urandom(60)).decode()
        told = json.dumps({"data": {"plaintext": other, "ciphertext": sealed}}).encode()
        kinds = [
            _answer("200 OK", "application/json", told),
            _answer("200 OK", "text/html", b"<h1>It works!</h1>"),
            _answer("200 OK", "application/json", b'{"data": {"plaintext": 7, "ciphertext": []}}'),
            _answer("200 OK", "application/json", b'{"data": '),
            _answer("302 Found", "text/html", b""),
            os.urandom(200) + b"\r\n\r\n",
        ]
        yield kinds[number % len(kinds)]


class LyingServer(Passing):
    """`port` is where the portal finds its key server."""

    def __init__(self, server_port: int) -> None:
        super().__init__()
        self._server_port = server_port
        self._mood = Mood.PASS_ON
        self._nonsense = nonsense()
        self._connections: set[asyncio.StreamWriter] = set()

    def be(self, mood: Mood) -> None:
        """From now on, for new connections; those that are open are cut off. From any thread."""
        self._loop.call_soon_threadsafe(self._be, mood)

    def _be(self, mood: Mood) -> None:
        self._mood = mood
        for writer in self._connections:
            writer.transport.abort()

    def _ended(self) -> None:
        self._be(self._mood)

    async def _serve(self, portal: asyncio.StreamReader, to_portal: asyncio.StreamWriter) -> None:
        """One connection of the portal's, to its end, in the mood in which it began."""
        self._connections.add(to_portal)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(portal, to_portal)
        finally:
            self._connections.discard(to_portal)
            to_portal.transport.abort()

    async def _answer(self, portal: asyncio.StreamReader, to_portal: asyncio.StreamWriter) -> None:
        if self._mood is Mood.NONSENSE:
            await portal.readuntil(b"\r\n\r\n")
            to_portal.write(next(self._nonsense))
            await to_portal.drain()
            return
        server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        delay = SLOW_SECONDS if self._mood is Mood.SLOW else 0.0
        ways = [
            asyncio.create_task(_pass_on(portal, to_server)),
            asyncio.create_task(_pass_on(server, to_portal, delay)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            to_server.transport.abort()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay: float = 0.0) -> None:
    with suppress(OSError):
        while piece := await source.read(_ROOM):
            await asyncio.sleep(delay)
            target.write(piece)
            await target.drain()


def lying(server_port: int) -> AbstractContextManager[LyingServer]:
    """Everything the portal says to its key server goes through here for as long as the block lasts."""
    return serving(LyingServer(server_port))
