"""A connection on a real event loop, where a socket that is closed leaves its number to the next one."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
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


async def begun(desk: Desk, client: socket.socket) -> int:
    """The number of the socket that a body is read from, once the connection itself has stopped to read it."""
    client.sendall(HEAD + b"a" * 10)
    got = len((await desk.next())["body"])
    while got < 20:
        client.sendall(b"b" * 10)
        got += len((await desk.next())["body"])
    return desk.connections[0].descriptor()


@contextmanager
def another(number: int) -> Iterator[socket.socket]:
    """A socket of this number, or what is behind it, with bytes that came from somebody else."""
    pair = socket.socketpair()
    for one in pair:
        one.setblocking(False)
    theirs, ours = sorted(pair, key=lambda one: one.fileno() != number)
    taken = theirs.fileno() != number
    if taken:
        os.dup2(theirs.fileno(), number)
    ours.sendall(b"another's")
    try:
        yield theirs
    finally:
        if taken:
            os.close(number)
        for one in pair:
            one.close()


def test_another_clients_bytes_are_never_taken_by_a_number() -> None:
    async def use(desk: Desk, client: socket.socket) -> None:
        number = await begun(desk, client)
        client.close()
        waiting = asyncio.ensure_future(desk.next())
        assert (await waiting)["type"] == "http.disconnect"
        with another(number) as unread:
            assert (await desk.next())["type"] == "http.disconnect"
            assert unread.recv(100) == b"another's"

    served(use)


def test_so_it_is_where_the_client_left_while_nobody_waited_for_it() -> None:
    async def use(desk: Desk, client: socket.socket) -> None:
        number = await begun(desk, client)
        desk.connections[0].resume()
        client.close()
        while not desk.connections[0].transport.is_closing():
            await asyncio.to_thread(int)
        for _ in range(5):
            await asyncio.to_thread(int)  # until the number is free
        with another(number) as unread:
            assert (await desk.next())["type"] == "http.disconnect"
            assert unread.recv(100) == b"another's"

    served(use)
