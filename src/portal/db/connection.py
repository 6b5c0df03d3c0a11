"""What a repository needs of a connection: to execute statements in the caller's unit of work, and nothing else.

Comes in: a SQLAlchemy Core statement with its values. Leaves: a result whose rows can be read at once. A connection
comes from `unit_of_work`, which alone begins, commits and rolls back.
"""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from sqlalchemy import CursorResult, Dialect, Engine, Executable


class Connection(Protocol):
    """One open transaction."""

    @property
    def dialect(self) -> Dialect:
        """The dialect of the database: its name is `sqlite` or `postgresql`."""

    @property
    def sync_engine(self) -> Engine:
        """The engine of this connection, whose execution options apply to it."""

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]:
        """Execute a statement. `parameters` are the values of one row, or a list of those of several."""

    async def scalar(self, statement: Executable, parameters: Any = None, /) -> Any:
        """The first column of the first row; None if there is no row."""

    def begin_nested(self) -> AbstractAsyncContextManager[Any]:
        """A savepoint: what the block does is undone if it raises."""
