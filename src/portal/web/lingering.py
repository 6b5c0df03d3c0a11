"""A transport with a lingering close: the response arrives although the client is still sending (RFC 9112 §9.6).

Comes in: the event loop's transport. Leaves: the same, except for `close`. If the client may still be sending, `close`
ends the writing half only, and drops the bytes that arrive, for at most 5 seconds and 64 MiB. Without that, the system
resets a connection that is closed with unread bytes, and the client loses the response.
"""

import asyncio
from collections.abc import Callable
from typing import Any

LINGER_SECONDS = 5
LINGER_BYTES = 64 << 20  # up to this size, a client that reads only after sending everything gets its response


class LingeringTransport(asyncio.Transport):
    """A transport that lingers on close if `unfinished()` is true: if the client may still be sending a request."""

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
        self._transport.write_eof()  # after the bytes that are still buffered
        self._read(reading=True)

    def drop(self, data: bytes) -> None:
        """Count and drop bytes that arrived while lingering. After `LINGER_BYTES`, reading stops until the end."""
        self._dropped += len(data)
        if self._dropped >= LINGER_BYTES:
            self._read(reading=False)

    def lost(self) -> None:
        """Cancel the timer: the connection is closed."""
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
