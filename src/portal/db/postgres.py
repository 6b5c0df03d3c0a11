"""Postgres's engine: SQLAlchemy's asynchronous one over asyncpg, with the two verbs of the portal's engines.

Comes in: an `AsyncEngine`. Leaves: transactions. Next: `unit_of_work`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Dialect, Engine
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from portal.core.tasks import whole
from portal.db.connection import AfterCommit


class PostgresEngine:
    """Transactions on a Postgres database. Safe for concurrent tasks of one event loop."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._frozen = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @property
    def url(self) -> URL:
        """The database's URL. It may contain a password."""
        return self._engine.url

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect: its name is `postgresql`."""
        return self._engine.dialect

    @property
    def sync_engine(self) -> Engine:
        """SQLAlchemy's engine."""
        return self._engine.sync_engine

    @property
    def pool(self) -> Any:
        """SQLAlchemy's pool."""
        return self._engine.pool

    @asynccontextmanager
    async def write(self, calls: AfterCommit = ()) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at the end of the block unless the block raises. A caller who is cancelled during
        the COMMIT leaves when it has ended.
        """
        async with self._engine.begin() as connection:
            yield connection
            await whole(asyncio.ensure_future(_commit(connection, calls)))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading, without BEGIN and COMMIT: they cost a round trip each.

        In READ COMMITTED each statement of a transaction has a snapshot of its own anyway.
        """
        async with self._reading.begin() as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for reading whose statements share one snapshot."""
        async with self._frozen.begin() as connection:
            yield connection

    async def dispose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


async def _commit(connection: AsyncConnection, calls: AfterCommit) -> None:
    await connection.commit()
    for call in calls:
        call()
