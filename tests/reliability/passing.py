"""A server on loopback in a thread of its own, for what stands between a portal and a server of its.

Comes in: a class that says what becomes of a connection. Leaves: its port, for as long as a block lasts. Next:
`between` stands before a database, `lying_server` before a key server.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

PATIENCE_SECONDS = 20


class Passing:
    """`port` is where the portal finds its server. `_loop` runs `_serve` for each connection, from `run` to `stop`."""

    def __init__(self) -> None:
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()

    def run(self) -> None:
        """In a thread of its own, until `stop`."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run())

    def wait(self) -> None:
        assert self._ready.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)

    async def _run(self) -> None:
        listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        listening.close()
        self._ended()

    async def _serve(self, portal: asyncio.StreamReader, to_portal: asyncio.StreamWriter) -> None:
        """One connection of the portal's, to its end."""
        raise NotImplementedError

    def _ended(self) -> None:
        """What is left to do once no more connections are taken."""


_Server = TypeVar("_Server", bound=Passing)


@contextmanager
def serving(made: _Server) -> Iterator[_Server]:
    """The server runs for as long as the block lasts."""
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        made.wait()
        yield made
    finally:
        made.stop()
        thread.join(PATIENCE_SECONDS)
