"""A connection on the event loop that serves: who asks for a body hears when its client is gone, however late."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from portal.core.timeouts import ClientTimeouts
from portal.web.connection import HttpConnection
from portal.web.direct import BUFFER_BYTES

PATIENCE = ClientTimeouts(head_seconds=20, stall_seconds=20, bytes_per_second=1)
SIZE = 1 << 20
HEAD = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE
BOUND_SECONDS = 20


@dataclass
class Desk:
    """An application that takes a body as it is told to, message by message."""

    takes: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    taken: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    connections: list[HttpConnection] = field(default_factory=list)
    application: ASGIApp | None = None

    async def app(self, scope: Scope, receive: Receive, _: Send) -> None:
        scope["extensions"][BUFFER_BYTES]["view"] = memoryview(bytearray(SIZE))
        while True:
            await self.takes.get()
            await self.taken.put(await receive())

    async def next(self) -> Message:
        await self.takes.put(None)
        return await self.taken.get()

    def connect(self) -> HttpConnection:
        config = Config(self.application or self.app, log_config=None, interface="asgi3", timeout_keep_alive=1)
        made = HttpConnection(client_timeouts=PATIENCE, config=config, server_state=ServerState(), app_state={})
        self.connections.append(made)
        return made


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    """Says which path it was asked for; a body is read but of `/unread`, and `/slow` takes its time."""
    more = scope["path"] != "/unread"
    while more:
        more = (await receive()).get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(0.2)
    body = scope["path"].encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def answered(came: bytes) -> list[bytes]:
    """Status and body of each answer."""
    return [part[:3] + part.rpartition(b"\r\n\r\n")[2] for part in came.split(b"HTTP/1.1 ")[1:]]


async def everything(client: socket.socket) -> bytes:
    """What comes until the portal ends the connection."""
    loop, came = asyncio.get_running_loop(), b""
    client.setblocking(False)
    while piece := await loop.sock_recv(client, 1 << 16):
        came += piece
    return came


def served(use: Callable[[Desk, socket.socket], Awaitable[None]], *, desk: Desk | None = None) -> None:
    """Run `use` with a desk and a client's socket that is connected to it, on the event loop that serves."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await serve(desk or Desk(), loop)

    async def serve(desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        server = await loop.create_server(desk.connect, "127.0.0.1", 0)
        try:
            with socket.create_connection(server.sockets[0].getsockname()) as client:
                async with asyncio.timeout(BOUND_SECONDS):
                    await use(desk, client)
        finally:
            server.close()
            for connection in desk.connections:
                connection.transport.abort()

    uvloop.run(main())


async def begun(desk: Desk, client: socket.socket) -> HttpConnection:
    """The connection, once a body is read past it."""
    client.sendall(HEAD + b"a")
    await desk.next()
    (connection,) = desk.connections
    while connection._body is None or not connection._body.begun:
        coming = asyncio.ensure_future(desk.next())
        await asyncio.to_thread(client.sendall, b"b")
        assert (await coming)["type"] == "http.request"
    return connection


def test_a_client_that_leaves_is_told_of_as_often_as_it_is_asked_for() -> None:
    async def use(desk: Desk, client: socket.socket) -> None:
        connection = await begun(desk, client)
        waiting = asyncio.ensure_future(desk.next())
        await asyncio.sleep(0)
        client.close()
        assert [await waiting, await desk.next(), await desk.next()] == [{"type": "http.disconnect"}] * 3
        assert connection.descriptor() == -1  # a number that was kept could be another client's by now

    served(use)


def test_so_is_one_that_left_while_nobody_asked() -> None:
    async def use(desk: Desk, client: socket.socket) -> None:
        connection = await begun(desk, client)
        client.close()
        connection.transport.abort()
        for _ in range(5):
            await asyncio.sleep(0)
        assert connection.cycle.disconnected
        assert [await desk.next(), await desk.next()] == [{"type": "http.disconnect"}] * 2

    served(use)


def test_so_is_one_whose_connection_is_being_closed() -> None:
    async def use(desk: Desk, client: socket.socket) -> None:
        connection = await begun(desk, client)
        client.sendall(b"c" * 100)
        connection.transport.close()
        assert (await desk.next())["type"] == "http.disconnect"

    served(use)


def said_to(*pieces: bytes, end: bool = False, expected: list[bytes]) -> None:
    """Send, end our half or not, and read to the end of the connection."""

    async def use(_: Desk, client: socket.socket) -> None:
        for piece in pieces:
            client.sendall(piece)
            await asyncio.sleep(0.05)  # a packet of its own
        if end:
            client.shutdown(socket.SHUT_WR)
        assert answered(await everything(client)) == expected

    served(use, desk=Desk(application=answers))


def get(path: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: a", *fields, b"", b""])


def test_of_requests_that_come_all_at_once_a_hundred_wait() -> None:
    """Which of them is answered last is the portal's to say; memory is what must not grow."""

    async def use(desk: Desk, client: socket.socket) -> None:
        came = asyncio.ensure_future(everything(client))
        await asyncio.get_running_loop().sock_sendall(client, get(b"/a") * 5_000)
        longest = 0
        while not came.done():
            longest = max([longest, *(len(connection.pipeline) for connection in desk.connections)])
            await asyncio.sleep(0)
        told = answered(await came)
        assert told == [b"200/a"] * len(told)
        assert 100 <= len(told) < 5_000
        assert longest == 100

    served(use, desk=Desk(application=answers))


def test_what_waits_is_answered_before_more_is_read() -> None:
    async def use(desk: Desk, client: socket.socket) -> None:
        client.sendall(get(b"/slow") * 3)
        await asyncio.sleep(0.05)
        (connection,) = desk.connections
        for _ in range(2):
            client.sendall(get(b"/a") * 20)
            await asyncio.sleep(0.05)
        assert len(connection.pipeline) == 2
        client.sendall(get(b"/last", b"Connection: close"))
        told = answered(await everything(client))
        assert told == [b"200/slow"] * 3 + [b"200/a"] * 40 + [b"200/last"]

    served(use, desk=Desk(application=answers))


def test_line_breaks_do_not_keep_an_idle_connection() -> None:
    async def use(_: Desk, client: socket.socket) -> None:
        client.sendall(get(b"/a"))
        came = asyncio.ensure_future(everything(client))
        while not came.done():
            with contextlib.suppress(OSError):
                client.send(b"\r\n")
            await asyncio.sleep(0.1)
        assert answered(came.result()) == [b"200/a"]

    served(use, desk=Desk(application=answers))


def test_a_request_behind_an_idle_second_is_not_cut_off_by_it() -> None:
    said_to(get(b"/slow") + get(b"/slow", b"Connection: close")[:-1], b"\n", expected=[b"200/slow"] * 2)


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
def test_an_answer_before_the_body_ends_the_connection(framing: bytes) -> None:
    said_to(get(b"/unread", framing), b"x", expected=[b"200/unread"])


@pytest.mark.parametrize("garbage", [b"\0\0 no request", b"line\nline\n", get(b"/b").replace(b"1.1", b"2.0")])
def test_garbage_behind_requests_changes_none_of_their_answers(garbage: bytes) -> None:
    said_to(get(b"/slow") * 2 + garbage, expected=[b"200/slow"] * 2)
    said_to(get(b"/slow") * 2, garbage, expected=[b"200/slow"] * 2)


def test_a_broken_body_behind_requests_changes_none_of_their_answers() -> None:
    broken = get(b"/a", b"Transfer-Encoding: chunked") + b"zz\r\n"
    said_to(get(b"/slow") * 2 + broken, expected=[b"200/slow"] * 2)


def test_a_client_that_ends_its_half_is_answered() -> None:
    said_to(get(b"/slow") * 2, end=True, expected=[b"200/slow"] * 2)
    said_to(get(b"/slow") + b"GET /half", end=True, expected=[b"200/slow"])


def test_half_a_body_is_answered_by_nothing() -> None:
    said_to(get(b"/slow", b"Content-Length: 10") + b"half", end=True, expected=[])


def test_a_refusal_arrives_while_its_client_is_still_sending() -> None:
    async def use(_: Desk, client: socket.socket) -> None:
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, get(b"/unread", b"Content-Length: 40000000") + bytes(40_000_000))
        assert answered(await everything(client)) == [b"200/unread"]

    served(use, desk=Desk(application=answers))


def test_more_than_a_client_may_send_to_a_refusal_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.web.lingering.LINGER_SECONDS", 1)

    async def use(_: Desk, client: socket.socket) -> None:
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        with pytest.raises(ConnectionError):
            await loop.sock_sendall(client, get(b"/unread", b"Content-Length: 400000000") + bytes(200_000_000))

    served(use, desk=Desk(application=answers))
