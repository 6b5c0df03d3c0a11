"""One HTTP/1.1 connection: uvicorn's protocol class, with the timeouts and limits that it lacks. Only this module
imports that class.

Comes in: bytes from a client. Leaves: requests for the ASGI application. A client that does not finish its head in
time, sends a head without end, or does not read its response is disconnected. Next: `middleware`.
"""

import array
import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Iterable, Sized
from http import HTTPStatus
from typing import Any

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from portal.core import log
from portal.core.errors import InvalidInput, PortalError
from portal.core.ids import new_id
from portal.core.tasks import grace_over
from portal.core.timeouts import ClientTimeouts
from portal.web.direct import DirectBody
from portal.web.direct_writes import DirectWrites
from portal.web.errors import problem
from portal.web.lingering import LingeringTransport
from portal.web.parser import RequestParser
from portal.web.streaming import DownloadAborted

_MAX_PIPELINE = 100  # requests received and waiting for their turn; one read may contain thousands
_log = log.get("portal.access")
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: close sends a reset


class _Flow(FlowControl):
    """Pauses reading while pipelined requests wait: one read may contain thousands, and uvicorn would resume reading
    after each response.
    """

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class HttpConnection(HttpToolsProtocol):
    """Overrides only the callbacks of asyncio and of the parser, and uvicorn's start of a request."""

    parser: RequestParser  # type: ignore[assignment]  # in the place of httptools' own
    transport: LingeringTransport

    def __init__(
        self,
        *,
        client_timeouts: ClientTimeouts,
        headers: Iterable[tuple[str, str]] = (),
        grace_seconds: float = 0,
        **given: Any,
    ) -> None:
        """`headers` are added to the error responses that are written here, to bytes that are no HTTP request. When the
        server is told to stop, it cancels the requests that still run after `grace_seconds`.
        """
        super().__init__(**given)
        self.parser = RequestParser(self)
        self._headers = headers
        self._patience = client_timeouts
        self._grace_seconds = grace_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._unread = 0
        self._app, self.app = self.app, self._serve
        self._body: DirectBody | None = None
        self._running: RequestResponseCycle
        self._ended = False  # after malformed bytes: no further request is read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(LingeringTransport(transport, self.loop, self._is_unfinished))
        self.flow = _Flow(self.transport, self.pipeline)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._body is not None:
            self._body.lost()
        self.transport.lost()
        self._head_came()
        self._reader_reads()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.lingers:
            self.transport.drop(data)
        elif self._ended:
            self.flow.pause_reading()
        elif self._body is not None and self._body.begun:
            self._body.came(data)
        else:
            self._parse(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it
        """Whether the connection stays open for writing: a client may end its half and still wait for its response."""
        owed = self._answering and not self.cycle.more_body and not self.transport.lingers
        if owed:
            self.cycle.keep_alive = False
        return owed

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._await_head()

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= _MAX_PIPELINE:
            raise InvalidInput("Too many requests came before the first of them was answered.")
        self._head_came()
        self._unset_keepalive_if_required()  # the response before it may have set the timer again
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110 §10.1.1: an HTTP/1.0 client takes a 100 for its final response
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        self._reader_reads()
        super().resume_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._ended:
            self.flow.resume_reading()
        if not self._answering and self.cycle.more_body:
            self.transport.close()  # the application did not read the body to its end
        self._await_reader()
        if self._head_timer is not None:
            self._await_head()  # the next head has begun already: its timeout starts now

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(self._grace_seconds, grace_over.set)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _parse(self, data: bytes) -> None:
        """Feed the parser. Replaces uvicorn's `data_received`, which treats any byte as the start of the next request,
        and stops its keep-alive timer for it.
        """
        try:
            self.parser.feed_data(data)
        except PortalError as error:
            self._ended = True
            self.flow.pause_reading()
            self._refuse(error)

    def _refuse(self, error: PortalError) -> None:
        """Refuse bytes that are no request; they end the connection.

        Complete requests before them are answered first: otherwise the client would take the error for the response to
        one of those.
        """
        broken = self.cycle if self._answering and self.cycle.more_body else None
        if broken is not None and self.pipeline:  # the broken request has not started, and never will
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self._running
            self.cycle.keep_alive = False
        elif broken is not None and broken.response_started:
            self._cut()
        elif broken is None and self._answering:
            self.cycle.keep_alive = False
        else:
            self._answer(error)
            if broken is not None:
                broken.disconnected = True  # the connection may linger: a reader of the body is told now
                broken.message_event.set()

    def _answer(self, error: PortalError) -> None:
        request_id = str(new_id())
        _log.info("request_malformed", request_id=request_id, code=error.code, reason=str(error))
        answer = problem(error, request_id)
        lines = [f"HTTP/1.1 {answer.status_code} {HTTPStatus(answer.status_code).phrase}"]
        lines += [f"{name.decode()}: {value.decode()}" for name, value in answer.raw_headers]
        lines += [f"{name}: {value}" for name, value in self._headers]
        lines += [f"x-request-id: {request_id}", "connection: close", "", ""]
        self.transport.write("\r\n".join(lines).encode() + bytes(answer.body))
        self.transport.close()

    def _is_unfinished(self) -> bool:
        """Whether the client may still be sending bytes that no request reads."""
        cycle: RequestResponseCycle | None = self.cycle
        return self._ended or (cycle is not None and cycle.more_body)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application with a `receive` that can place the body directly in the reader's buffer (`direct`)."""
        cycle: RequestResponseCycle = receive.__self__  # type: ignore[attr-defined]  # uvicorn gives its bound method
        body = DirectBody(self, scope, receive)

        async def received() -> Message:
            elsewhere = cycle is not self.cycle or not cycle.more_body or cycle.waiting_for_100_continue
            if not elsewhere:
                self._body = body
            if self.transport.is_closing():
                body.lost()
            return await body.receive(gathered=elsewhere or bool(cycle.body))

        writes = DirectWrites(self, cycle, send)
        direct = scope["scheme"] == "http" and scope["method"] != "HEAD"
        try:
            await self._app(scope, received, writes.send if direct else send)
        except DownloadAborted as aborted:
            if aborted.right_ended:
                self._cut()  # what waits for a slow reader is not its any more
            raise

    def descriptor(self) -> int:
        return int(self.transport.get_extra_info("socket").fileno())

    def is_open(self) -> bool:
        return not self.transport.is_closing()

    async def drained(self) -> bool:
        await self.flow.drain()
        return self.is_open() and self.transport.get_write_buffer_size() == 0

    def put(self, rest: memoryview) -> None:
        if rest:
            self.transport.write(rest)

    def pause(self) -> None:
        self.flow.pause_reading()

    def resume(self) -> None:
        self.flow.resume_reading()

    def body_ends(self, rest: bytes) -> None:
        """The body was read past the parser, to its end. A new parser reads the next request, beginning with `rest`."""
        self.cycle.more_body = False
        self.parser = RequestParser(self)
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
            self._await_head()  # a pipelined head, behind a request whose response is not complete: it gets more time
        elif not self.transport.lingers:
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
        """Reset the connection at once: after a normal close, the kernel would hold megabytes of unread data for
        minutes.
        """
        with contextlib.suppress(OSError, AttributeError):
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _untaken(self) -> int:
        """Bytes written and not yet acknowledged by the client's system, including those in the kernel's send buffer.

        The kernel's part must count: it accepts more only when a third of its buffer, which may be megabytes, is free.
        A slow but steady client would look stalled until then.
        """
        queued = array.array("i", [0])
        with contextlib.suppress(OSError, AttributeError):  # TIOCOUTQ is not on every system; no socket, nothing queued
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return self.transport.get_write_buffer_size() + queued[0]
