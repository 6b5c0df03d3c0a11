"""What the portal needs of a database: transactions of an engine, and a connection that executes statements in one.

Comes in: a SQLAlchemy Core statement with its values. Leaves: a result whose rows can be read at once. Repositories see
a `Connection`. It comes from `unit_of_work`, which alone begins, commits and rolls back. `postgres` and `sqlite` have
an `Engine` each.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

import sqlalchemy
from sqlalchemy import CursorResult, Dialect, Executable
from sqlalchemy.engine import URL

_T = TypeVar("_T")
AfterCommit = Sequence[Callable[[], None]]
"""Calls that are made when a transaction has committed. Its block may still add to them."""


class Connection(Protocol):
    """One open transaction."""

    @property
    def dialect(self) -> Dialect:
        """The dialect of the database: its name is `sqlite` or `postgresql`."""

    @property
    def sync_engine(self) -> sqlalchemy.Engine:
        """The engine of this connection, whose execution options apply to it."""

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]:
        """Execute a statement. `parameters` are the values of one row, or a list of those of several."""

    async def scalar(self, statement: Executable, parameters: Any = None, /) -> Any:
        """The first column of the first row; None if there is no row."""

    def begin_nested(self) -> AbstractAsyncContextManager[Any]:
        """A savepoint: what the block does is undone if it raises."""


class OpenConnection(Connection, Protocol):
    """The same for code that is synchronous, as Alembic is."""

    async def run_sync(self, call: Callable[..., _T], /, *given: Any) -> _T:
        """The result of `call`, whose first argument is SQLAlchemy's own connection."""


class Engine(Protocol):
    """The connections to one database."""

    @property
    def url(self) -> URL:
        """Where the database is. It may contain a password."""

    @property
    def dialect(self) -> Dialect:
        """The dialect of the database."""

    @property
    def sync_engine(self) -> sqlalchemy.Engine:
        """SQLAlchemy's own engine: its execution options and events."""

    @property
    def pool(self) -> Any:
        """Its `checkedout()` is the number of connections in use."""

    def write(self, calls: AfterCommit = ()) -> AbstractAsyncContextManager[OpenConnection]:
        """A transaction that commits at the end of the block, and rolls back if the block raises. `calls` are made when
        it has committed, also if its caller was cancelled meanwhile.
        """

    def read(self) -> AbstractAsyncContextManager[OpenConnection]:
        """A unit that only reads. On SQLite, a transaction without the write lock; on Postgres, none at all."""

    def snapshot(self) -> AbstractAsyncContextManager[OpenConnection]:
        """A unit that only reads, and in which every statement sees the database as the first one found it."""

    async def dispose(self) -> None:
        """Close every connection. The engine can be used again."""
