"""A transport that closes in stages: an answer arrives although its client is still sending (RFC 9112 §9.6).

Comes in: the event loop's transport. Leaves: the same, but `close` first ends our half alone where the client may be
sending what nobody reads. What then comes is dropped, for a while and up to a size; a system that closes a socket with
bytes in it resets the connection, and the client would lose the answer with it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

LINGER_SECONDS = 5
LINGER_BYTES = 64 << 20  # clients that read only when they have sent everything are told, up to this size


class LingeringTransport(asyncio.Transport):
    """`unfinished` tells whether the client may be in the middle of something."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, unfinished: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._unfinished = unfinished
        self._timer: asyncio.TimerHandle | None = None
        self._dropped = 0
        self._reading = True

    @property
    def lingers(self) -> bool:
        return self._timer is not None

    def close(self) -> None:
        if self.is_closing():
            return
        if not self._unfinished() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._timer = self._loop.call_later(LINGER_SECONDS, self._transport.close)
        self._transport.write_eof()  # behind what is still to be written
        self._read(reading=True)

    def drop(self, data: bytes) -> None:
        """What came while it lingers. Who sends more than is dropped has to wait for the end."""
        self._dropped += len(data)
        if self._dropped >= LINGER_BYTES:
            self._read(reading=False)

    def lost(self) -> None:
        """The connection is closed."""
        if self._timer is not None:
            self._timer.cancel()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self.lingers or self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_closing():
            self._transport.write(data)

    def pause_reading(self) -> None:
        if not self.lingers:
            self._read(reading=False)

    def resume_reading(self) -> None:
        if not self.lingers:
            self._read(reading=True)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def _read(self, *, reading: bool) -> None:
        if reading != self._reading and not self._transport.is_closing():
            self._reading = reading
            (self._transport.resume_reading if reading else self._transport.pause_reading)()
