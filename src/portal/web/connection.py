"""One HTTP/1.1 connection: uvicorn's own, with the patience and bounds that it lacks. The only door to its protocol.

Comes in: bytes from a client. Leaves: requests for the ASGI application; or an end for a client that does not finish
its head in time, sends a head without end, or does not read what it asked for. Next: `middleware`.
"""

import array
import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from typing import Any

import httptools
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from portal.core.patience import Patience
from portal.web.direct import DirectBody

_MAX_HEAD_BYTES = 128 << 10  # of a head that has not ended; `middleware` refuses a whole one far below
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, for no time


class Connection(HttpToolsProtocol):
    """Overrides only what asyncio and httptools call, and uvicorn's answer to bytes that are no request."""

    def __init__(self, *, patience: Patience, **given: Any) -> None:
        super().__init__(**given)
        self._patience = patience
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._reader_timer: asyncio.TimerHandle | None = None
        self._unread = 0
        self._app, self.app = self.app, self._serve
        self._body: DirectBody | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._body is not None:
            self._body.lost()
        self._head_came()
        self._reader_reads()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._body is not None and self._body.begun:
            self._body.came(data)
            return
        within = self._head_timer is not None
        super().data_received(data)
        if within and self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self.send_400_response("The head of the request has no end.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Fields behind the last chunk are no headers: nobody judged them when the request was let in."""
        if self._head_timer is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        self._reader_reads()
        super().resume_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_reader()
        if self._head_timer is not None:
            self._await_head()  # the next head has begun already: its time runs from now on

    def send_400_response(self, msg: str) -> None:
        """Nothing is written into an answer that is on its way: its reader would take it for a part of that."""
        if self._answering and self.cycle.response_started:
            self._cut()
        else:
            super().send_400_response(msg)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, with a way to have a body put where it is wanted."""
        cycle: RequestResponseCycle = receive.__self__  # type: ignore[attr-defined]  # uvicorn gives its bound method
        body = DirectBody(self, scope, receive)

        async def received() -> Message:
            theirs = cycle is not self.cycle or not cycle.more_body or cycle.waiting_for_100_continue
            if not theirs:
                self._body = body
            if self.transport.is_closing():
                body.lost()
            return await body.receive(gathered=theirs or bool(cycle.body))

        await self._app(scope, received, send)

    def descriptor(self) -> int:
        return int(self.transport.get_extra_info("socket").fileno())

    def pause(self) -> None:
        self.flow.pause_reading()

    def resume(self) -> None:
        self.flow.resume_reading()

    def body_ends(self, rest: bytes) -> None:
        """The parser has not seen all of that body: the next request is read by a new one."""
        self.cycle.more_body = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own: it hangs up itself
        self.resume()
        if rest:
            self.data_received(rest)

    @property
    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _await_head(self) -> None:
        self._head_came()
        self._head_timer = self.loop.call_later(self._patience.head_seconds, self._judge_head)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _judge_head(self) -> None:
        if self._answering:
            self._await_head()  # it came early, behind a request that is still being answered
        else:
            self._cut()

    def _await_reader(self) -> None:
        self._reader_reads()
        if self.transport.get_write_buffer_size():
            self._unread = self._untaken()
            self._reader_timer = self.loop.call_later(self._patience.stall_seconds, self._judge_reader)

    def _reader_reads(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _judge_reader(self) -> None:
        waiting = self.transport.get_write_buffer_size() > 0
        if waiting and self._unread - self._untaken() < self._patience.stall_bytes:
            self._cut()
        else:
            self._await_reader()

    def _cut(self) -> None:
        """Break the connection at once: the kernel would keep what was not read, megabytes of it, for minutes."""
        with contextlib.suppress(OSError, AttributeError):
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _untaken(self) -> int:
        """Bytes written and not yet acknowledged by the client's system.

        The kernel's share counts: it takes more only when a third of its buffer, which may be megabytes, is free.
        """
        queued = array.array("i", [0])
        with contextlib.suppress(OSError, AttributeError):  # not every system tells; no socket, nothing queued
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return self.transport.get_write_buffer_size() + queued[0]
