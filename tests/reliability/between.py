"""What stands between a portal and its Postgres, and loses one COMMIT or the answer to it when told to.

Comes in: the server's Unix socket. Leaves: a port on loopback that passes everything on, until a transaction commits
that said a given word (a name or digest in one of its statements). asyncpg sends COMMIT as a message of its own, and
says no more before it has the answer.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

_COMMIT = b"Q\x00\x00\x00\x0cCOMMIT;\x00"
_ROLLBACK = b"Q\x00\x00\x00\x0eROLLBACK;\x00"
_RESET = struct.pack("ii", 1, 0)  # linger for no time: what was not sent is thrown away, and the other side told so
_ROOM = 1 << 16
_PATIENCE_SECONDS = 20


class Fate(StrEnum):
    """What becomes of a commit. Either way the portal finds its connection reset, and cannot tell which it was."""

    ANSWER_LOST = "answer lost"  # it took effect
    COMMIT_LOST = "commit lost"  # it never reached the server


class Between:
    """`port` is where the portal finds its database. `met` has the words whose transactions met their fate."""

    def __init__(self, server: Path) -> None:
        self.port = 0
        self.met: list[str] = []
        self._server = server
        self._fates: dict[str, Fate] = {}
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()

    def decide(self, word: str, fate: Fate) -> None:
        """The next transaction that says `word` meets `fate`. From any thread."""
        self._fates[word] = fate

    def run(self) -> None:
        """In a thread of its own, until `stop`."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run())

    def wait(self) -> None:
        assert self._ready.wait(_PATIENCE_SECONDS)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)

    async def _run(self) -> None:
        listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        listening.close()

    async def _serve(self, portal: asyncio.StreamReader, to_portal: asyncio.StreamWriter) -> None:
        """One connection of the portal's, to its end."""
        server, to_server = await asyncio.open_unix_connection(str(self._server))
        answers = asyncio.create_task(_pass_on(server, to_portal))
        try:
            word = await self._pass_on(portal, to_server)
            answers.cancel()
            await asyncio.wait([answers])
            if word is not None:
                await self._meet(word, server, to_server)
                to_portal.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        finally:
            to_server.transport.abort()
            to_portal.transport.abort()

    async def _pass_on(self, portal: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> str | None:
        """What the portal says, until it says no more or commits what is to meet its fate: then the word."""
        said = b""
        while piece := await portal.read(_ROOM):
            said += piece
            if said.endswith((_COMMIT, _ROLLBACK)):
                word = next((word for word in self._fates if word.encode() in said), None)
                if word is not None and piece.endswith(_COMMIT):
                    return word
                said = b""
            to_server.write(piece)
            await to_server.drain()
        return None

    async def _meet(self, word: str, server: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        if self._fates.pop(word) is Fate.ANSWER_LOST:
            to_server.write(_COMMIT)
            answer = await server.read(_ROOM)
            assert answer.startswith(b"C\x00\x00\x00\x0bCOMMIT\x00"), answer
        self.met.append(word)


async def _pass_on(server: asyncio.StreamReader, to_portal: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await server.read(_ROOM):
            to_portal.write(piece)
            await to_portal.drain()
    to_portal.transport.abort()


@contextmanager
def between(server: Path) -> Iterator[Between]:
    """Everything the portal says to its database goes through here for as long as the block lasts."""
    made = Between(server)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        made.wait()
        yield made
    finally:
        made.stop()
        thread.join(_PATIENCE_SECONDS)
