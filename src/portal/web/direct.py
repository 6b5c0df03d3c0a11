"""Bodies that go straight from the socket into memory of their reader's: no parser and no copies in between.

Comes in: a connection that is in the middle of a body of known length, and `ROOM`, an extension of the ASGI scope where
who reads says where the next bytes may go. Leaves: messages as the server's own `receive` gives them, but their body is
a view of that memory. Whatever else a body is (in chunks, short, over TLS) goes the server's own way.
"""

import asyncio
import contextlib
import os
from typing import Protocol

from starlette.types import Message, Receive, Scope

from portal.web.framing import body_length

BUFFER_BYTES = "portal.room"
_WORTH = 1 << 16  # bytes that are still to come, or it is not worth it


class PausableConnection(Protocol):
    """What of a connection is needed here."""

    def descriptor(self) -> int:
        """Of its socket, to read from while the connection itself does not."""

    def pause(self) -> None:
        """Have the connection not read from its socket."""

    def resume(self) -> None:
        """Have it read again, and hand over what comes to `DirectBody.came`."""

    def body_ends(self, rest: bytes) -> None:
        """The body is complete; `rest` came behind it."""


class DirectBody:
    """One request's body. `receive` is the server's own, and is asked until nothing of what it gathered is left."""

    def __init__(self, line: PausableConnection, scope: Scope, receive: Receive) -> None:
        self._line, self._receive = line, receive
        self._room: dict[str, memoryview] = scope.setdefault("extensions", {}).setdefault(BUFFER_BYTES, {})
        self._left = _announced(scope)
        self._held = b""
        self._event = asyncio.Event()
        self._gone = False
        self.begun = False

    async def receive(self, *, gathered: bool) -> Message:
        """`gathered`: whether the server has bytes of this body, or has not begun to read it."""
        if self._gone or (not self.begun and (gathered or not self._room or self._left < _WORTH)):
            message = await self._receive()
            self._left -= len(message.get("body", b""))
            return message
        self.begun = True
        return await self._direct(self._room["view"][: self._left])

    async def _direct(self, view: memoryview) -> Message:
        while not self._gone:  # it is told once: who asks later must not wait for it
            self._line.pause()
            if got := self._fill(view):
                return self._message(view[:got])
            self._event.clear()
            self._line.resume()
            await self._event.wait()
        return {"type": "http.disconnect"}

    def came(self, data: bytes) -> None:
        """The connection read something itself, because nothing was there before."""
        self._line.pause()
        self._held += data
        self._event.set()

    def lost(self) -> None:
        """The connection is closed, or about to be. Idempotent."""
        self._gone = True
        self._event.set()

    def _fill(self, view: memoryview) -> int:
        """What is there, without waiting."""
        got = min(len(view), len(self._held))
        view[:got], self._held = self._held[:got], self._held[got:]
        with contextlib.suppress(OSError):  # nothing there, or nobody: the connection itself will find that out
            while got < len(view) and (more := os.readv(self._line.descriptor(), [view[got:]])):
                got += more
        return got

    def _message(self, body: memoryview) -> Message:
        self._left -= len(body)
        if self._left == 0:
            self.begun = False
            self._line.body_ends(self._held)
        return {"type": "http.request", "body": body, "more_body": self._left > 0}


def _announced(scope: Scope) -> int:
    """The body's length in bytes; 0 for a body that is to be read in another way."""
    return body_length(scope["headers"], scope["http_version"]) or 0 if scope["scheme"] == "http" else 0
