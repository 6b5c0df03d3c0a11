"""A connection on the event loop that serves: who asks for a body hears when its client is gone, however late."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import uvloop
from starlette.types import Message, Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from portal.core.patience import Patience
from portal.web.connection import Connection
from portal.web.direct import ROOM

PATIENCE = Patience(head_seconds=20, stall_seconds=20, bytes_per_second=1)
SIZE = 1 << 20
HEAD = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE
BOUND_SECONDS = 20


@dataclass
class Desk:
    """An application that takes a body as it is told to, message by message."""

    takes: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    taken: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    connections: list[Connection] = field(default_factory=list)

    async def app(self, scope: Scope, receive: Receive, _: Send) -> None:
        scope["extensions"][ROOM]["view"] = memoryview(bytearray(SIZE))
        while True:
            await self.takes.get()
            await self.taken.put(await receive())

    async def next(self) -> Message:
        await self.takes.put(None)
        return await self.taken.get()

    def connect(self) -> Connection:
        config = Config(self.app, log_config=None, interface="asgi3")
        made = Connection(patience=PATIENCE, config=config, server_state=ServerState(), app_state={})
        self.connections.append(made)
        return made


def served(use: Callable[[Desk, socket.socket], Awaitable[None]]) -> None:
    """Run `use` with a desk and a client's socket that is connected to it, on the event loop that serves."""

    async def main() -> None:
        desk, loop = Desk(), asyncio.get_running_loop()
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


async def begun(desk: Desk, client: socket.socket) -> Connection:
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
