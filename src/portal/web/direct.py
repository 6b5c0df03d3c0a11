"""Direct reads of a request body: from the socket into the reader's buffer, without a parser or copies in between.

Comes in: a connection in the middle of a body of known length, and `BUFFER_BYTES`, an extension of the ASGI scope in
which the reader offers its buffer. Leaves: the messages of the server's own `receive`, except that `body` is a view of
that buffer: it is valid until the next `receive`. Any other body (chunked, short, over TLS) takes the server's own way.
"""

import asyncio
import contextlib
import os
from typing import Protocol

from starlette.types import Message, Receive, Scope

from portal.web.framing import body_length

BUFFER_BYTES = "portal.room"
_WORTH = 1 << 16  # bytes: a shorter rest of the body is not worth a direct read


class PausableConnection(Protocol):
    """The part of a connection that a direct read uses."""

    def descriptor(self) -> int:
        """The socket's file descriptor, to read from while the connection itself is paused."""

    def pause(self) -> None:
        """Stop the connection from reading its socket."""

    def resume(self) -> None:
        """Let the connection read again; it passes the bytes to `DirectBody.came`."""

    def body_ends(self, rest: bytes) -> None:
        """Called when the body is complete; `rest` are the bytes behind it."""


class DirectBody:
    """The body of one request. `receive` is the server's own: bytes that the server has buffered are read from it
    first.
    """

    def __init__(self, line: PausableConnection, scope: Scope, receive: Receive) -> None:
        self._line, self._receive = line, receive
        self._room: dict[str, memoryview] = scope.setdefault("extensions", {}).setdefault(BUFFER_BYTES, {})
        self._left = _announced(scope)
        self._held = b""
        self._event = asyncio.Event()
        self._gone = False
        self.begun = False

    async def receive(self, *, gathered: bool) -> Message:
        """The next message.

        `gathered` is true if the server has buffered bytes of this body, or has not begun to read it: the message then
        comes from the server's own `receive`.
        """
        if self._gone or (not self.begun and (gathered or not self._room or self._left < _WORTH)):
            message = await self._receive()
            self._left -= len(message.get("body", b""))
            return message
        self.begun = True
        return await self._direct(self._room["view"][: self._left])

    async def _direct(self, view: memoryview) -> Message:
        while not self._gone:  # the event is set once only: a later call must not wait for it
            self._line.pause()
            if got := self._fill(view):
                return self._message(view[:got])
            self._event.clear()
            self._line.resume()
            await self._event.wait()
        return {"type": "http.disconnect"}

    def came(self, data: bytes) -> None:
        """Take bytes that the connection read itself; it reads only while the body waits for bytes."""
        self._line.pause()
        self._held += data
        self._event.set()

    def lost(self) -> None:
        """End the body: the connection is closed, or about to be. Idempotent."""
        self._gone = True
        self._event.set()

    def _fill(self, view: memoryview) -> int:
        """Copy the available bytes into `view` without waiting; returns their number."""
        got = min(len(view), len(self._held))
        view[:got], self._held = self._held[:got], self._held[got:]
        with contextlib.suppress(OSError):  # no bytes, or a closed socket: the connection itself detects which
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
    """The body's length in bytes; 0 for a body that cannot be read directly (chunked, or over TLS)."""
    return body_length(scope["headers"], scope["http_version"]) or 0 if scope["scheme"] == "http" else 0
