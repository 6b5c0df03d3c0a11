"""The unit of work: one short transaction, never open while file bytes are transferred.

Comes in: an engine. Leaves: connections for repositories; `Unavailable` while the database is unavailable. The service
that opens a unit of work owns it. Repositories receive its connection and never commit.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from weakref import WeakKeyDictionary

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from portal.core.errors import StorageFull, Unavailable
from portal.db.connection import Connection, Engine

# SQLSTATE classes of transient errors: connection, rollback, resources, object state, operator intervention, system.
_PASSING = {"08", "40", "53", "55", "57", "58"}
_DISK_FULL = "53100"
_after_commit: WeakKeyDictionary[Connection, list[Callable[[], None]]] = WeakKeyDictionary()


class DatabaseAway(Unavailable):
    """The database is unreachable, or its connection broke off: then it is unknown whether a commit took effect."""

    code, title = "database_away", "The database is unavailable; try again."


class Database:
    """The portal's access to its database: transactions on an engine. Safe for concurrent tasks of one event loop."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """A unit that commits at the end of the block, and is undone if the block raises.

        On SQLite, it has the write lock from the beginning on, and may share its COMMIT with others that wait: the
        block ends, also with an error, when that has succeeded. Raises DatabaseAway, StorageFull.
        """
        with map_errors():
            calls: list[Callable[[], None]] = []
            async with self.engine.write(calls) as connection:
                _after_commit[connection] = calls
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """A unit that only reads, and takes no write lock. Raises DatabaseAway."""
        with map_errors():
            async with self.engine.read() as connection:
                yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A unit that only reads, and sees the database as it was at its first statement. Raises DatabaseAway."""
        with map_errors():
            async with self.engine.snapshot() as connection:
                yield connection

    async def check(self) -> None:
        """Raises DatabaseAway unless the database answers."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def aclose(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def after_commit(connection: Connection, call: Callable[[], None]) -> None:
    """Have `call` made when the caller's unit of work has committed, also if the caller was cancelled during the
    COMMIT; never where it rolls back.
    """
    if connection in _after_commit:
        _after_commit[connection].append(call)


@contextmanager
def map_errors() -> Iterator[None]:
    """Within the block, raise DatabaseAway for a database that is unreachable, restarting or too busy, and StorageFull
    for one that is full. An error in a statement is raised as it is.
    """
    try:
        yield
    except (TimeoutError, PoolTimeoutError, OSError, DBAPIError) as error:
        told = translate(error)
        if told is None:
            raise
        raise told from error


def translate(error: BaseException) -> DatabaseAway | StorageFull | None:
    """The portal's error for a database error; None for a wrong statement, which is a bug or a missing right."""
    if not isinstance(error, DBAPIError):
        return DatabaseAway()
    state = str(getattr(error.orig, "sqlstate", "") or "")
    if state == _DISK_FULL or "database or disk is full" in str(error.orig):  # SQLite's message
        return StorageFull()
    unread = "disk image is malformed" in str(error.orig)  # SQLite's message also for a page that could not be read
    # An error without a statement happened while connecting.
    passing = state[:2] in _PASSING
    away = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return DatabaseAway() if away or unread or error.statement is None or passing else None
