"""The unit of work: one short transaction, never open while bytes flow.

Comes in: an engine. Leaves: connections for repositories, `Unavailable` when the database is away. The service that
opens a unit of work owns it; repositories are handed its connection and never commit.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from portal.core.errors import StorageFull, Unavailable
from portal.db import sqlite

# SQLSTATE classes that a later try may not meet: connection, rollback, resources, state, intervention, system.
_PASSING = {"08", "40", "53", "55", "57", "58"}
_DISK_FULL = "53100"
_TURN_SECONDS = 10
_after_commit: WeakKeyDictionary[AsyncConnection, list[Callable[[], None]]] = WeakKeyDictionary()


class DatabaseAway(Unavailable):
    """The database could not be reached, or left in the middle: whether a commit took effect may be unknown."""

    code, title = "database_away", "The database is away; try again."


class Database:
    """The portal's one way to its database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._queue = asyncio.Lock()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits when the block ends and rolls back when it raises. Raises DatabaseAway.

        SQLite's write lock is taken with the first statement.
        """
        async with map_errors(), self._writer_slot():
            calls: list[Callable[[], None]] = []
            async with self.engine.begin() as connection:
                _after_commit[connection] = calls
                yield connection
            for call in calls:
                call()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for reading, which takes no write lock. Raises DatabaseAway."""
        async with map_errors(), self.engine.begin() as connection:
            if self._is_sqlite:
                sqlite.read_only(connection)
            yield connection

    async def check(self) -> None:
        """Raises DatabaseAway unless the database answers."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def _writer_slot(self) -> AsyncIterator[None]:
        """SQLite has one writer at a time, and who waits for it looks now and then, in no order: we queue instead."""
        if not self._is_sqlite:
            yield
            return
        async with asyncio.timeout(_TURN_SECONDS):
            await self._queue.acquire()
        try:
            yield
        finally:
            self._queue.release()


def after_commit(connection: AsyncConnection, call: Callable[[], None]) -> None:
    """Have `call` made when the caller's unit of work has committed; never where it rolls back."""
    if connection in _after_commit:
        _after_commit[connection].append(call)


@asynccontextmanager
async def map_errors() -> AsyncIterator[None]:
    """Tell a database that is away, restarting, full or too busy from a statement that is wrong."""
    try:
        yield
    except (TimeoutError, PoolTimeoutError, OSError, DBAPIError) as error:
        told = translate(error)
        if told is None:
            raise
        raise told from error


def translate(error: BaseException) -> DatabaseAway | StorageFull | None:
    """What it means; None for a statement that is wrong, which is a bug or a right that is missing."""
    if not isinstance(error, DBAPIError):
        return DatabaseAway()
    state = str(getattr(error.orig, "sqlstate", "") or "")
    if state == _DISK_FULL or "database or disk is full" in str(error.orig):  # SQLite's words
        return StorageFull()
    unread = "disk image is malformed" in str(error.orig)  # its words for a page that the disk did not give, too
    # Without a statement it failed while connecting.
    passing = state[:2] in _PASSING
    away = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return DatabaseAway() if away or unread or error.statement is None or passing else None
