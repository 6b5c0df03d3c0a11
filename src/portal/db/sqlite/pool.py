"""The pool: idle connections to one SQLite file, and the threads that call them where the event loop must not wait.

Comes in: a SQLAlchemy engine that opens connections. Leaves: connections, each for one user at a time. Next: `engine`.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine

from portal.core.tasks import whole
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

    async def take(self) -> Connection:
        """A connection: the one that was used last, since its cache has the pages needed. Raises TimeoutError."""
        waits = self._free.locked()
        async with asyncio.timeout(self._wait_seconds) if waits else contextlib.nullcontext():
            await self._free.acquire()
        self._taken += 1
        try:
            return await self._usable()
        except BaseException:
            self._release()
            raise

    def give_back(self, connection: Connection) -> None:
        """Give back a connection without a transaction. One that was closed meanwhile is replaced when it is needed."""
        if self._threads is None:  # the pool was closed, and not used since
            connection.close()
        if not connection.closed:
            self._idle.append(connection)
        self._release()

    def start(self, call: Callable[..., _T], *given: Any) -> asyncio.Future[_T]:
        """Begin a call that may wait for the disk, in a thread; make it now where no thread can be started."""
        if self._threads is None:  # at first, and after `close`
            self._threads = ThreadPoolExecutor(self._size, thread_name_prefix="sqlite")
        once = _Once(partial(call, *given))
        try:
            self._threads.submit(once)
        except RuntimeError:  # the call waits for a thread all the same
            once()
        return asyncio.wrap_future(once.result)

    async def in_thread(self, call: Callable[..., _T], *given: Any) -> _T:
        """The result of such a call. A caller who is cancelled leaves when it has ended: it uses the connection."""
        return await whole(self.start(call, *given))

    async def close(self) -> None:
        """Close the idle connections and end the threads. The pool can be used again."""
        while self._idle:
            await self.in_thread(self._idle.pop().close)
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    def _release(self) -> None:
        self._taken -= 1
        self._free.release()

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


class _Once(Generic[_T]):
    """A call that the first caller makes, and a later one does not."""

    def __init__(self, call: Callable[[], _T]) -> None:
        self.result: Future[_T] = Future()
        self._call, self._made = call, threading.Lock()

    def __call__(self) -> None:
        if self._made.acquire(blocking=False):
            _put(self.result, self._call)


def _put(result: Future[_T], call: Callable[[], _T]) -> None:
    try:
        result.set_result(call())
    except BaseException as error:  # noqa: BLE001  # it is raised where the result is awaited
        result.set_exception(error)
        del result  # else the error holds itself
