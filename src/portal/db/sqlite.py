"""SQLite: its dialect and its connections, with one call into their thread for each statement. The only door to
`aiosqlite`.

Comes in: a database file. Leaves: what SQLAlchemy takes for a dialect. Waking a thread costs more than most statements:
so rows are fetched where they were found, and BEGIN goes along with the first statement. Next: `engine`.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, Self

import aiosqlite
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import AsyncConnection

DRIVER: Final = "sqlite+portal"
_BEGIN_TO_READ: Final = "BEGIN"
# A deferred transaction that turns into a writer fails at once with "database is locked": writers say so first.
_BEGIN_TO_WRITE: Final = "BEGIN IMMEDIATE"


class Dialect(SQLiteDialect_aiosqlite):
    """SQLAlchemy's own, where every transaction is begun as one that writes unless `only_reads` is said of it."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        dbapi_connection.driver_connection.begin_with(_BEGIN_TO_WRITE)

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """What SQLite could not open for writing it opened for reading: then the next one who asks gets a new one.

        After any other error the connection stays: one that lost an fsync writes the same place again at its next
        commit, while a new one would believe what was written there and build on it.
        """
        code = getattr(e, "sqlite_errorcode", sqlite3.SQLITE_OK)
        return code & 0xFF == sqlite3.SQLITE_READONLY or super().is_disconnect(e, connection, cursor)


registry.register(DRIVER.replace("+", "."), __name__, Dialect.__name__)


def read_only(connection: AsyncConnection) -> None:
    """Let the transaction that was just begun take no write lock."""
    driver: Any = connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]  # it is begun
    driver.begin_with(_BEGIN_TO_READ)


def connect(path: str, pragmas: Sequence[str], **options: Any) -> "SqliteConnection":
    """A connection that opens when it is awaited. `options` are sqlite3's."""
    return SqliteConnection(partial(_opened, path, pragmas, options), iter_chunk_size=1)


def _opened(path: str, pragmas: Sequence[str], options: dict[str, Any]) -> sqlite3.Connection:
    connection: sqlite3.Connection = sqlite3.connect(path, **options, isolation_level=None)  # we say BEGIN ourselves
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        connection.close()
        raise
    return connection


class SqliteConnection(aiosqlite.Connection):
    """One transaction at a time, as SQLAlchemy uses it."""

    def __init__(self, opened: Callable[[], sqlite3.Connection], iter_chunk_size: int) -> None:
        super().__init__(opened, iter_chunk_size)
        self._thread.daemon = True
        self._beginning: str | None = None  # said when there is something to do
        self._reads = False
        self._stopped: asyncio.Future[Any] | None = None

    def stop(self) -> asyncio.Future[Any] | None:
        self._stopped = super().stop()
        return self._stopped

    async def _connect(self) -> "SqliteConnection":
        """Of a file that cannot be opened the thread has ended, too: later it would find no loop to tell so."""
        try:
            await super()._connect()
        except BaseException:
            if self._stopped is not None:
                await self._stopped
            raise
        return self

    def begin_with(self, beginning: str) -> None:
        """A transaction begins, with the first statement."""
        self._beginning, self._reads = beginning, beginning == _BEGIN_TO_READ

    def cursor(self) -> "Cursor":  # type: ignore[override]  # no call into the thread, and it is its own context manager
        return Cursor(self)

    async def run(self, operation: str, parameters: Any, *, many: bool = False) -> "Result":
        """Execute, with what must be said before, and fetch. Raises what sqlite3 raises."""
        beginning, self._beginning = self._beginning, None
        execute: Callable[..., Awaitable[Result]] = self._execute
        return await execute(_run, self._conn, beginning, operation, parameters, many)

    async def commit(self) -> None:
        if self._is_over():
            return
        if self._reads:
            self._conn.commit()  # nothing is written: it only lets go
        else:
            await super().commit()

    async def rollback(self) -> None:
        if not self._is_over():
            await super().rollback()

    def _is_over(self) -> bool:
        self._beginning = None
        return not self._conn.in_transaction


class Result:
    """What one statement left."""

    __slots__ = ("description", "lastrowid", "rowcount", "rows")

    def __init__(self, rows: list[Any], description: Any, rowcount: int, lastrowid: int | None) -> None:
        self.rows, self.description = rows, description
        self.rowcount, self.lastrowid = rowcount, lastrowid


NOTHING = Result([], None, -1, None)


class Cursor:
    """As much of a cursor as SQLAlchemy asks for."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._result = NOTHING
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    async def execute(self, operation: str, parameters: Sequence[Any] = ()) -> Self:
        self._result = await self._connection.run(operation, parameters)
        return self

    async def executemany(self, operation: str, parameters: Iterable[Sequence[Any]]) -> Self:
        self._result = await self._connection.run(operation, parameters, many=True)
        return self

    async def fetchall(self) -> list[Any]:
        return self._result.rows

    async def close(self) -> None:
        """Nothing is open."""

    @property
    def description(self) -> Any:
        return self._result.description

    @property
    def rowcount(self) -> int:
        return self._result.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._result.lastrowid


def _run(connection: sqlite3.Connection, beginning: str | None, operation: str, parameters: Any, many: bool) -> Result:  # noqa: FBT001
    cursor = connection.cursor()
    try:
        if beginning is not None:
            cursor.execute(beginning)
        execute = cursor.executemany if many else cursor.execute
        execute(operation, parameters)
        rows = cursor.fetchall() if cursor.description else []
        return Result(rows, cursor.description, cursor.rowcount, cursor.lastrowid)
    finally:
        cursor.close()  # as long as a statement is left, SQLite keeps its files open
