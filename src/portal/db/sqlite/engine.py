"""SQLite's engine: units that write, in groups and one after the other, and readers beside them.

Comes in: the URL of a file. Leaves: transactions. Next: `unit_of_work`.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Dialect, create_engine
from sqlalchemy import Engine as SyncEngine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from portal.db.connection import AfterCommit
from portal.db.sqlite.connections import SameFileGuard
from portal.db.sqlite.pool import Pool
from portal.db.sqlite.unit import Unit, roll_back
from portal.db.sqlite.writers import Writers

DRIVER: Final = "sqlite+pysqlite"


class SqliteEngine:
    """Transactions on one file. Safe for concurrent tasks of one event loop."""

    def __init__(self, url: URL, *, pool_size: int, pool_seconds: float, busy_seconds: float) -> None:
        file = SameFileGuard(Path(url.database or ""))
        self.url = url
        self.sync_engine: SyncEngine = create_engine(
            url, creator=file.connect, poolclass=NullPool, hide_parameters=True
        )
        self.pool = Pool(self.sync_engine, file, pool_size, pool_seconds)
        self._busy_seconds = busy_seconds
        self._writers = Writers(self.pool, busy_seconds)

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect: its name is `sqlite`."""
        return self.sync_engine.dialect

    def write(self, calls: AfterCommit = ()) -> AbstractAsyncContextManager[Unit]:
        """A transaction that has the write lock, and commits at the end of the block unless the block raises."""
        return self._writers.unit(calls)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Unit]:
        """A transaction for reading. It waits for no writer, and no writer for it."""
        connection = await self.pool.take()
        unit = Unit(connection, self.pool, self._busy_seconds, reads=True)
        try:
            await unit.begin("BEGIN")
            yield unit
            connection.commit()  # nothing is written: only the read lock is released
        except BaseException as error:
            roll_back(connection, error)
            raise
        finally:
            unit.end()
            self.pool.give_back(connection)

    def snapshot(self) -> AbstractAsyncContextManager[Unit]:
        """The same: with the write-ahead log a transaction sees the database as its first statement found it."""
        return self.read()

    async def dispose(self) -> None:
        """Close every connection."""
        await self.pool.close()
