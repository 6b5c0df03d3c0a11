"""Direct writes of a response body: from the reader's memory into the socket, in a thread, while the event loop works.

Comes in: the response's messages. Leaves: the same messages, without the large pieces that a thread writes. A piece is
written while the application makes the next one. What the socket does not take soon goes to the connection, which waits
for the client on the event loop: a slow client holds a thread for `PATIENCE_SECONDS` at most. Over TLS, or while every
thread is writing, a piece goes the server's own way. Either way the client is waited for behind the last piece.
"""

import asyncio
import contextlib
import os
import select
import time
from threading import Semaphore
from typing import Protocol

from starlette.types import Message, Send

from portal.core.errors import ClientGone

WORTH = 1 << 18  # bytes: a shorter piece is written sooner than a thread wakes
PATIENCE_SECONDS = 0.02  # a client that keeps up takes a piece in a thousandth

_threads = Semaphore(os.cpu_count() or 1)  # of the event loop's own; the rest are left to disks and databases


class WritableConnection(Protocol):
    """The part of a connection that a direct write uses."""

    def descriptor(self) -> int:
        """The socket's file descriptor."""

    def is_open(self) -> bool:
        """Whether bytes can still reach the client: a closed connection drops what it is given."""

    async def drained(self) -> bool:
        """Wait for a client that is behind; returns whether the connection is open and has no bytes left to write."""

    def put(self, rest: memoryview) -> None:
        """Write bytes behind those that the socket took. Does nothing if the connection is closed."""


class ResponseLength(Protocol):
    """The server's count of the bytes that the response still owes."""

    expected_content_length: int


class DirectWrites:
    """The body of one response. `send` is the server's own: it writes the head, the end, and every short piece."""

    def __init__(self, line: WritableConnection, owed: ResponseLength, send: Send) -> None:
        self._line, self._owed, self._send = line, owed, send
        self._writing: asyncio.Future[memoryview] | None = None

    async def send(self, message: Message) -> None:
        """Send a message. A large piece may still be on its way when this returns, but not the last one: of that the
        kernel has all but a few bytes. Raises ClientGone for a piece that was dropped.
        """
        await self._written()
        size, more = len(message.get("body", b"")), message.get("more_body", False)
        suits = more and WORTH <= size <= self._owed.expected_content_length
        if not (suits and await self._line.drained() and self._begin(memoryview(message["body"]))):
            await self._send(message)
        if more and size and not await self._goes_on():
            raise ClientGone

    def _begin(self, body: memoryview) -> bool:
        """Have a thread write `body`; returns False if all are busy, or no descriptor is left."""
        if not _threads.acquire(blocking=False):
            return False
        try:  # a descriptor of its own: the connection may close the other, and the kernel use its number again
            own = os.dup(self._line.descriptor())
        except OSError:
            _threads.release()
            return False
        self._owed.expected_content_length -= len(body)
        self._writing = asyncio.get_running_loop().run_in_executor(None, _write, own, body)
        self._writing.add_done_callback(self._leave_rest)
        return True

    def _leave_rest(self, written: "asyncio.Future[memoryview]") -> None:
        if not written.exception():
            self._line.put(written.result())

    async def _goes_on(self) -> bool:
        """Whether the client has the piece, or will. Behind the last one this waits until it was taken: so long the
        response needs its memory, and has not ended.
        """
        if not self._owed.expected_content_length:
            if await self._written():
                return True
            await self._line.drained()
        return self._line.is_open()

    async def _written(self) -> bool:
        """Wait for the thread; returns whether one wrote the whole piece. Raises what it raised: bytes are missing."""
        if self._writing is None:
            return False
        await asyncio.wait([self._writing])  # a cancelled caller must not cancel it: the thread closes what it has
        rest, self._writing = self._writing.result(), None
        return not rest


def _write(descriptor: int, body: memoryview) -> memoryview:
    """Write what a non-blocking socket takes in time; returns the rest. Closes the descriptor."""
    poll, until = select.poll(), time.monotonic() + PATIENCE_SECONDS
    poll.register(descriptor, select.POLLOUT)
    try:
        with contextlib.suppress(OSError):  # a broken connection: it detects that itself
            while body and poll.poll(max(0, until - time.monotonic()) * 1000):
                body = body[os.write(descriptor, body) :]
    finally:
        os.close(descriptor)
        _threads.release()
    return body
