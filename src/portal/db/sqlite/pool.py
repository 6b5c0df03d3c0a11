"""The pool: idle connections to one SQLite file, and the threads that call them where the event loop must not wait.

Comes in: a SQLAlchemy engine that opens connections. Leaves: connections, each for one user at a time. Next: `engine`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from portal.db.sqlite.connections import SameFileGuard

_T = TypeVar("_T")


class Pool:
    """At most `size` connections; a caller waits for one for at most `wait_seconds`, then gets a TimeoutError."""

    def __init__(self, engine: Engine, file: SameFileGuard, size: int, wait_seconds: float) -> None:
        self._engine, self._file = engine, file
        self._size, self._wait_seconds = size, wait_seconds
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._threads: ThreadPoolExecutor | None = None
        self._taken = 0

    def checkedout(self) -> int:
        """How many connections are in use."""
        return self._taken

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for the time of the block: the one that was used last, since its cache has the pages needed.

        It comes back without a transaction; one that was closed meanwhile does not come back. Raises TimeoutError.
        """
        async with asyncio.timeout(self._wait_seconds):
            await self._free.acquire()
        self._taken += 1
        try:
            connection = await self._usable()
            try:
                yield connection
            finally:
                if not connection.closed:
                    self._idle.append(connection)
        finally:
            self._taken -= 1
            self._free.release()

    async def in_thread(self, call: Callable[..., _T], *given: Any) -> _T:
        """The result of a call that may wait for the disk.

        A caller who is cancelled leaves when the call has ended: until then the thread uses the connection.
        """
        if self._threads is None:  # at first, and after `close`
            self._threads = ThreadPoolExecutor(self._size, thread_name_prefix="sqlite")
        future = asyncio.get_running_loop().run_in_executor(self._threads, call, *given)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await _ended(future)
            raise

    async def close(self) -> None:
        """Close the idle connections and end the threads. The pool can be used again."""
        while self._idle:
            await self.in_thread(self._idle.pop().close)
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    async def _usable(self) -> Connection:
        while True:
            while not self._idle:
                await self.in_thread(self._open)
            connection = self._idle.pop()
            if self._file.has(connection):
                return connection
            await self.in_thread(connection.close)

    def _open(self) -> None:
        """Add a connection to the idle ones: there it is found, also if its caller has left."""
        connection = self._engine.connect()
        try:
            self._file.connected(connection)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)


async def _ended(future: asyncio.Future[Any]) -> None:
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue  # it is raised at the end
    future.exception()
