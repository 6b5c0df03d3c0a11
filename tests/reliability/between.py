"""What stands between a portal and its Postgres, and loses one COMMIT or the answer to it when told to.

Comes in: the server's Unix socket. Leaves: a port on loopback that passes everything on, until a transaction commits
that said a given word (a name or digest in one of its statements). asyncpg sends COMMIT as a message of its own, and
says no more before it has the answer.
"""

import asyncio
import socket
import struct
from contextlib import AbstractContextManager, suppress
from enum import StrEnum
from pathlib import Path

from .passing import Passing, serving

_COMMIT = b"Q\x00\x00\x00\x0cCOMMIT;\x00"
_ROLLBACK = b"Q\x00\x00\x00\x0eROLLBACK;\x00"
_RESET = struct.pack("ii", 1, 0)  # linger for no time: what was not sent is thrown away, and the other side told so
_ROOM = 1 << 16


class Fate(StrEnum):
    """What becomes of a commit. Either way the portal finds its connection reset, and cannot tell which it was."""

    ANSWER_LOST = "answer lost"  # it took effect
    COMMIT_LOST = "commit lost"  # it never reached the server


class Between(Passing):
    """`port` is where the portal finds its database. `met` has the words whose transactions met their fate."""

    def __init__(self, server: Path) -> None:
        super().__init__()
        self.met: list[str] = []
        self._server = server
        self._fates: dict[str, Fate] = {}

    def decide(self, word: str, fate: Fate) -> None:
        """The next transaction that says `word` meets `fate`. From any thread."""
        self._fates[word] = fate

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


def between(server: Path) -> AbstractContextManager[Between]:
    """Everything the portal says to its database goes through here for as long as the block lasts."""
    return serving(Between(server))
