"""One SQLite connection: how it is opened, and the file that it must keep to.

Comes in: a path. Leaves: a `sqlite3.Connection` whose cursors fetch every row at once. A connection never waits for a
lock: it may be called on the event loop, and `unit` waits there. Next: `pool`.
"""

import os
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Connection

_OPENING_SECONDS: Final = 10.0
_PRAGMAS: Final = (
    "synchronous=FULL",  # an acknowledged commit survives a power cut
    "foreign_keys=ON",
    "secure_delete=ON",  # a destroyed key leaves no copy in free pages
    "temp_store=MEMORY",  # what a savepoint or a sort keeps aside is never a file
    "cache_spill=9000",  # pages that wait for the COMMIT: 32 small files of 1 MiB (4096 is OFF: its low byte)
    "busy_timeout=0",
)


class SameFileGuard:
    """Ensures that every SQLite connection of an engine uses the file that its path names now.

    Without it, SQLite goes on writing to a file that was moved away or removed, and a later connection creates an empty
    file in its place: writes acknowledged then are lost. With it, the database is unavailable until a file is back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found = False

    def connect(self) -> sqlite3.Connection:
        """A new connection; the first one may create the file. Call it in a thread: it may wait for a lock.

        Raises FileNotFoundError if there was a file before and is none now.
        """
        if self._found:
            self._path.stat()
        connection = sqlite3.connect(
            self._path,
            timeout=_OPENING_SECONDS,
            isolation_level=None,  # BEGIN is sent explicitly
            check_same_thread=False,  # one user at a time: the loop, or a thread that the loop waits for
            factory=_Connection,
        )
        try:
            _require_log(connection)
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    def connected(self, connection: Connection) -> None:
        """Remember which file (device and inode) the new connection opened."""
        connection.info["file"] = self._path.stat()
        self._found = True

    def has(self, connection: Connection) -> bool:
        """Whether the connection's file is the one at the path."""
        try:
            return os.path.samestat(os.stat(self._path), connection.info["file"])  # noqa: PTH116  # for every unit
        except OSError:
            return False


def _require_log(connection: sqlite3.Connection) -> None:
    """Without a write-ahead log a COMMIT would fail while another connection reads. Raises OperationalError."""
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError("no write-ahead log")


class _Cursor(sqlite3.Cursor):
    """A cursor that fetches all rows when it executes: no statement stays open, and a thread leaves nothing to do."""

    _rows: Iterator[Any] = iter(())

    def execute(self, *given: Any) -> Self:
        super().execute(*given)
        self._rows = iter(super().fetchall() if self.description else ())
        return self

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def fetchmany(self, size: int | None = 1) -> list[Any]:
        return list(islice(self._rows, size))

    def fetchone(self) -> Any:
        return next(self._rows, None)


class _Connection(sqlite3.Connection):
    def cursor(self, *_: Any) -> Any:
        return super().cursor(_Cursor)
