"""SQLite's engine: one writer after the other, readers beside it.

Comes in: the URL of a file. Leaves: transactions. Next: `unit_of_work`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Dialect, create_engine
from sqlalchemy import Engine as SyncEngine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from portal.db.sqlite.connections import SameFileGuard
from portal.db.sqlite.pool import Pool
from portal.db.sqlite.unit import Unit, roll_back

DRIVER: Final = "sqlite+pysqlite"
_TURN_SECONDS = 10
_BEGIN_TO_READ: Final = "BEGIN"
# A deferred transaction that becomes a writer can fail at once with "database is locked": writers lock at the start.
_BEGIN_TO_WRITE: Final = "BEGIN IMMEDIATE"


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
        self._queue = asyncio.Lock()

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect: its name is `sqlite`."""
        return self.sync_engine.dialect

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Unit]:
        """A transaction that has the write lock, and commits at the end of the block unless the block raises."""
        commit = partial(self.pool.in_thread, Connection.commit)  # it syncs
        async with self._turn(), self._unit(_BEGIN_TO_WRITE) as (connection, unit):
            yield unit
            unit.require_open()
            await commit(connection)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Unit]:
        """A transaction for reading. It waits for no writer, and no writer for it."""
        async with self._unit(_BEGIN_TO_READ) as (connection, unit):
            yield unit
            connection.commit()  # nothing is written: only the read lock is released

    async def dispose(self) -> None:
        """Close every connection."""
        await self.pool.close()

    @asynccontextmanager
    async def _unit(self, beginning: str) -> AsyncIterator[tuple[Connection, Unit]]:
        async with self.pool.connection() as connection:
            unit = Unit(connection, self.pool, self._busy_seconds)
            try:
                await unit.begin(beginning)
                yield connection, unit
            except BaseException as error:
                roll_back(connection, error)
                raise

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """The turn of this writer; writers of this process wait in order, for at most 10 seconds.

        SQLite allows one writer at a time. Its own waiting polls, in no order, so a writer could starve.
        """
        async with asyncio.timeout(_TURN_SECONDS):
            await self._queue.acquire()
        try:
            yield
        finally:
            self._queue.release()
