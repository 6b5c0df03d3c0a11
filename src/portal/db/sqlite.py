"""The SQLite dialect and its connections: one call into the connection's thread per statement. Only this module imports
`aiosqlite`.

Waking a thread costs more than most statements. So the rows are fetched in the same call that executes the statement,
and BEGIN is sent with the first statement of a transaction. Next: `engine`.
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
# A deferred transaction that becomes a writer can fail at once with "database is locked": writers lock at the start.
_BEGIN_TO_WRITE: Final = "BEGIN IMMEDIATE"


class Dialect(SQLiteDialect_aiosqlite):
    """SQLAlchemy's dialect, in which every transaction begins as a writer unless `read_only` is called for it."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        dbapi_connection.driver_connection.begin_with(_BEGIN_TO_WRITE)

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Whether the pool must replace the connection after the error `e`.

        True for SQLITE_READONLY: SQLite opened the file for reading because it could not open it for writing.
        False after other SQLite errors: a connection whose fsync failed writes the same pages again at its next commit,
        while a new connection would trust the unsynced pages and build on them.
        """
        code = getattr(e, "sqlite_errorcode", sqlite3.SQLITE_OK)
        return code & 0xFF == sqlite3.SQLITE_READONLY or super().is_disconnect(e, connection, cursor)


registry.register(DRIVER.replace("+", "."), __name__, Dialect.__name__)


def read_only(connection: AsyncConnection) -> None:
    """Make the transaction that was just begun a reader, which takes no write lock. Call it before a statement."""
    driver: Any = connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]  # it is begun
    driver.begin_with(_BEGIN_TO_READ)


def connect(path: str, pragmas: Sequence[str], **options: Any) -> "SqliteConnection":
    """A connection that opens when it is awaited. `options` are those of `sqlite3.connect`."""
    return SqliteConnection(partial(_opened, path, pragmas, options), iter_chunk_size=1)


def _opened(path: str, pragmas: Sequence[str], options: dict[str, Any]) -> sqlite3.Connection:
    connection: sqlite3.Connection = sqlite3.connect(path, **options, isolation_level=None)  # BEGIN is sent explicitly
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        connection.close()
        raise
    return connection


class SqliteConnection(aiosqlite.Connection):
    """A connection with one transaction at a time, as SQLAlchemy uses it."""

    def __init__(self, opened: Callable[[], sqlite3.Connection], iter_chunk_size: int) -> None:
        super().__init__(opened, iter_chunk_size)
        self._thread.daemon = True
        self._beginning: str | None = None  # the BEGIN that the next statement sends first
        self._reads = False
        self._stopped: asyncio.Future[Any] | None = None

    def stop(self) -> asyncio.Future[Any] | None:
        self._stopped = super().stop()
        return self._stopped

    async def _connect(self) -> "SqliteConnection":
        """Open the connection; if that fails, wait until its thread has ended. A thread that ends later may find no
        running event loop to report to.
        """
        try:
            await super()._connect()
        except BaseException:
            if self._stopped is not None:
                await self._stopped
            raise
        return self

    def begin_with(self, beginning: str) -> None:
        """Begin a transaction; the BEGIN is sent with the first statement."""
        self._beginning, self._reads = beginning, beginning == _BEGIN_TO_READ

    def cursor(self) -> "Cursor":  # type: ignore[override]  # no call into the thread, and it is its own context manager
        return Cursor(self)

    async def run(self, operation: str, parameters: Any, *, many: bool = False) -> "Result":
        """Execute `operation`, after the pending BEGIN if there is one, and fetch its rows: one call into the thread.

        Raises the errors of sqlite3.
        """
        beginning, self._beginning = self._beginning, None
        execute: Callable[..., Awaitable[Result]] = self._execute
        return await execute(_run, self._conn, beginning, operation, parameters, many)

    async def commit(self) -> None:
        if self._is_over():
            return
        if self._reads:
            self._conn.commit()  # on this thread: nothing is written, only the read lock is released
        else:
            await super().commit()

    async def rollback(self) -> None:
        if not self._is_over():
            await super().rollback()

    def _is_over(self) -> bool:
        self._beginning = None
        return not self._conn.in_transaction


class Result:
    """The result of one statement: its rows, and the attributes of a DB-API cursor."""

    __slots__ = ("description", "lastrowid", "rowcount", "rows")

    def __init__(self, rows: list[Any], description: Any, rowcount: int, lastrowid: int | None) -> None:
        self.rows, self.description = rows, description
        self.rowcount, self.lastrowid = rowcount, lastrowid


NOTHING = Result([], None, -1, None)


class Cursor:
    """The part of a DB-API cursor that SQLAlchemy uses. All rows are fetched already; nothing stays open."""

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
        cursor.close()  # SQLite does not close its files while a statement is open
