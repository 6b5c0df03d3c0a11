"""The portal's way in, from the socket to the gate, in front of an application that writes down what it is given.

Comes in: connections. Leaves: the requests that were read to their end, in order, and answers that name them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from portal.core.timeouts import ClientTimeouts
from portal.web.connection import HttpConnection
from portal.web.direct import BUFFER_BYTES
from portal.web.middleware import BodyLimit, CatchUnhandled, HeadValidation, RequestContext, SecurityHeaders
from portal.web.watchdog import BodyWatchdog

from .oracle import Seen

PATIENCE = ClientTimeouts(head_seconds=20, stall_seconds=20, bytes_per_second=1)
_ROOM_BYTES = 1 << 15


@contextmanager
def kept_quiet() -> Iterator[list[str]]:
    """The portal's log lines go nowhere; what it says of bugs is told."""
    bugs: list[str] = []

    def keep(_logger: Any, method: str, event: Any) -> Any:
        if method in {"error", "exception", "critical"}:
            bugs.append(str(event))
        raise structlog.DropEvent

    made = structlog.wrap_logger(None, processors=[keep], wrapper_class=structlog.stdlib.BoundLogger)
    with patch("portal.web.middleware._log", made), patch("portal.web.connection._log", made):
        yield bugs


@dataclass
class Recorder:
    """Answers `/read/` and `/room/` (past the parser, where it can) with a digest, and `/refuse/` unread."""

    seen: list[Seen] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        way = "".join(scope["path"].split("/")[1:2])
        body = b""
        if way != "refuse":
            if way == "room":
                scope["extensions"][BUFFER_BYTES]["view"] = memoryview(bytearray(_ROOM_BYTES))
            whole = await _body(receive)
            if whole is None:
                return
            body = whole
        target = (scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")).decode(
            "latin-1"
        )
        seen = Seen.of(scope["method"], target, scope["headers"], body)
        if way != "refuse":
            self.seen.append(seen)
        status = 401 if way == "refuse" else 200
        named = [
            (b"content-length", b"0"),
            (b"x-target", target.encode("latin-1")),
            (b"x-digest", seen.digest.encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": named})
        await send({"type": "http.response.body", "body": b""})

    def app(self) -> ASGIApp:
        """As `portal.app` has it, without routes."""
        made: ASGIApp = HeadValidation(self, allowed_hosts=["localhost", "127.0.0.1"])
        made = BodyLimit(CatchUnhandled(BodyWatchdog(made, client_timeouts=PATIENCE)), streams=lambda _: True)
        return RequestContext(SecurityHeaders(made, hsts=None), trusted_proxies=[])


async def _body(receive: Receive) -> bytes | None:
    body, more = b"", True
    while more:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body, more = body + bytes(message["body"]), message["more_body"]
    return body


@asynccontextmanager
async def listening(recorder: Recorder) -> AsyncIterator[tuple[str, int]]:
    """The address of a server in this event loop."""
    app, state = recorder.app(), ServerState()

    def connect() -> HttpConnection:
        return HttpConnection(
            client_timeouts=PATIENCE,
            config=Config(app, log_config=None, interface="asgi3"),
            server_state=state,
            app_state={},
        )

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
