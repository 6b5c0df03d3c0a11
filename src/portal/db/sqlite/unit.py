"""A transaction on SQLite as repositories see it: point statements run on the event loop, scans in a thread.

Comes in: a connection of the pool. Leaves: results whose rows are all read. Where another process holds the lock that a
statement needs, the unit waits on the event loop and tries again.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Dialect, Engine, Executable
from sqlalchemy.exc import DBAPIError, ResourceClosedError

from portal.core.tasks import whole
from portal.db.sqlite.pool import Pool
from portal.db.statements import may_scan

_T = TypeVar("_T")
_PAUSES: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
"""Seconds between two tries; the last one repeats."""


class Unit:
    """One open transaction. It has its connection alone. If it only reads, a scan ends when its caller leaves."""

    def __init__(self, connection: Connection, pool: Pool, busy_seconds: float, *, reads: bool = False) -> None:
        self._connection, self._pool = connection, pool
        self._busy_seconds, self._reads = busy_seconds, reads
        self.lost: Exception | None = None  # why no further statement is executed

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    @property
    def sync_engine(self) -> Engine:
        return self._connection.engine

    async def begin(self, beginning: str) -> None:
        """Send BEGIN, in the form that is given."""
        self._connection.begin()
        await self._patiently(partial(send, self._connection, beginning))

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]:
        call = partial(self._connection.execute, statement, parameters)
        return await self._patiently(call, thread=may_scan(statement))

    async def scalar(self, statement: Executable, parameters: Any = None, /) -> Any:
        return (await self.execute(statement, parameters)).scalar()

    async def run_sync(self, call: Callable[..., _T], /, *given: Any) -> _T:
        """Call a function with SQLAlchemy's own connection, in a thread."""
        self.require_open()
        return await self._pool.in_thread(call, self._connection, *given)

    @asynccontextmanager
    async def begin_nested(self) -> AsyncIterator[None]:
        self._send("SAVEPOINT nested")
        try:
            yield
        except BaseException:
            if self.lost is None:
                self._send("ROLLBACK TO nested")
                self._send("RELEASE nested")
            raise
        self._send("RELEASE nested")

    def require_open(self) -> None:
        """Raises the error that ended the transaction, where one did; and ResourceClosedError after `end`.

        After a full disk or a failed read SQLite may roll back by itself. A further statement would then be a
        transaction of its own.
        """
        if self.lost is not None:
            raise self.lost

    def end(self) -> None:
        """Execute no further statement: it would be part of the next unit on this connection."""
        self.lost = ResourceClosedError("This unit of work has ended.")

    def _send(self, command: str) -> None:
        self.require_open()
        try:
            send(self._connection, command)
        except Exception as error:
            self._note(error)
            raise

    async def _patiently(self, call: Callable[[], _T], *, thread: bool = False) -> _T:
        """The result of the call, as soon as no other process holds the lock that it needs.

        Raises the error of SQLite if that takes longer than the busy time.
        """
        self.require_open()
        tries, began = 0, 0.0
        while True:
            try:
                return await self._in_thread(call) if thread else call()
            except Exception as error:
                self._note(error)
                now = asyncio.get_running_loop().time()
                began = began if tries else now
                if not _is_busy(error) or now - began >= self._busy_seconds:
                    raise
            await asyncio.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        """The result of a scan. Where its caller leaves, it is interrupted, but not in a unit that writes: SQLite would
        then undo the whole transaction, with the other units in it.
        """
        return await whole(self._pool.start(call), self._interrupt if self._reads else None)

    def _interrupt(self) -> None:
        driver(self._connection).interrupt()

    def _note(self, error: Exception) -> None:
        if not is_open(self._connection) and not _is_busy(error):
            self.lost = error


def driver(connection: Connection) -> sqlite3.Connection:
    """The connection below SQLAlchemy's."""
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


def is_open(connection: Connection) -> bool:
    """Whether the transaction is still open."""
    return driver(connection).in_transaction


def send(connection: Connection, command: str) -> None:
    """Execute a command of the transaction. Raises the errors that SQLAlchemy makes of those of `sqlite3`."""
    try:
        driver(connection).execute(command)
    except sqlite3.Error as error:
        raise DBAPIError.instance(None, None, error, sqlite3.Error) from error


def roll_back(connection: Connection, error: BaseException) -> None:
    """End the transaction after an error, whatever its state is. A connection that must not be used again is closed.

    That is one that SQLite opened for reading because it could not open the file for writing, and one that cannot roll
    back. After any other error the connection stays: one whose fsync failed writes the same pages again at its next
    commit, while a new connection would trust the unsynced pages and build on them.
    """
    try:
        connection.rollback()
        if driver(connection).in_transaction:  # SQLAlchemy sends nothing where the COMMIT had failed
            driver(connection).rollback()
        if can_only_read(error):
            connection.close()
    except Exception:  # noqa: BLE001  # whatever it is, the transaction ends with the connection
        connection.close()


def can_only_read(error: BaseException) -> bool:
    """Whether the error is SQLITE_READONLY."""
    return _code(error) & 0xFF == sqlite3.SQLITE_READONLY


def _is_busy(error: BaseException) -> bool:
    """Whether a later try may pass: not that of a reader who wants to write what another has changed."""
    return _code(error) & 0xFF == sqlite3.SQLITE_BUSY and _code(error) != sqlite3.SQLITE_BUSY_SNAPSHOT


def _code(error: BaseException) -> int:
    return int(getattr(getattr(error, "orig", None), "sqlite_errorcode", sqlite3.SQLITE_OK))
