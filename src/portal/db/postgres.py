"""Postgres's engine: SQLAlchemy's asynchronous one over asyncpg, with the two verbs of the portal's engines.

Comes in: an `AsyncEngine`. Leaves: transactions. Next: `unit_of_work`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Dialect, Engine
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


class PostgresEngine:
    """Transactions on a Postgres database. Safe for concurrent tasks of one event loop."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

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
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at the end of the block unless the block raises."""
        async with self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading, without BEGIN and COMMIT: they cost a round trip each.

        In READ COMMITTED each statement of a transaction has a snapshot of its own anyway.
        """
        async with self._reading.begin() as connection:
            yield connection

    async def dispose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
