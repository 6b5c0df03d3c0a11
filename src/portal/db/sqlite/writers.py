"""Group commit: units that wait for each other's turn to write share one transaction, and its one COMMIT.

Comes in: blocks that write. Leaves: the end of each block, when what it wrote and what it saw is on disk. The units of
a group run one after the other, each but the first in a savepoint. Next: `engine`.

Example: while a COMMIT syncs, three uploads ask for their turn. They run one after the other in one transaction. The
second finds its name taken and raises: its savepoint is undone, and its caller is told so after the COMMIT of the row
that took the name. If that COMMIT fails, all three are told that the database is unavailable.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from portal.core.tasks import whole
from portal.db.connection import AfterCommit
from portal.db.sqlite.pool import Pool
from portal.db.sqlite.unit import Unit, can_only_read, is_open, roll_back, send

_TURN_SECONDS = 10
_MOST_UNITS = 32
_MOST_SECONDS = 0.02
# A deferred transaction that becomes a writer can fail at once with "database is locked": writers lock at the start.
_BEGIN: Final = "BEGIN IMMEDIATE"


class Writers:
    """The units that write, in the order in which they came.

    SQLite allows one writer at a time. Its own waiting polls, in no order, so a writer could starve.
    """

    def __init__(self, pool: Pool, busy_seconds: float) -> None:
        self._pool, self._busy_seconds = pool, busy_seconds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False  # a unit has its turn, or a COMMIT runs
        self._group: _Group | None = None

    @asynccontextmanager
    async def unit(self, calls: AfterCommit) -> AsyncIterator[Unit]:
        """A unit that commits at the end of the block, and is undone if the block raises. `calls` are made when its
        COMMIT has succeeded, also if its caller has left.

        The end waits for the COMMIT of the group, also if the block raises: others may have written what it refuses by.
        Only a caller who is cancelled learns nothing, and leaves at once. Raises TimeoutError for a unit whose turn
        does not come, and the error that ended the group's transaction.
        """
        await self._turn()
        group = None
        try:
            group = self._group or await self._begun()
            async with self._member(group, calls) as unit:
                yield unit
        except BaseException as error:
            self._next()
            if group is not None and isinstance(error, Exception):
                await group.ended(error)
            raise
        self._next()
        await group.ended()

    async def _turn(self) -> None:
        """Wait for the turn, for at most 10 seconds."""
        if not self._taken:
            self._taken = True
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await waiter
        except BaseException:
            if not waiter.cancelled():  # the turn came just then
                self._next()
            raise

    def _next(self) -> None:
        """Give the turn to the unit that has waited longest. COMMIT where none waits, or the group may not grow."""
        group = self._group
        waiter = self._first() if group is None or group.may_grow() else None
        if waiter is not None:
            waiter.set_result(None)
        elif group is not None:
            self._pool.start(group.connection.commit).add_done_callback(partial(self._committed, group))
        else:
            self._taken = False

    def _first(self) -> asyncio.Future[None] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # else it has left
                return waiter
        return None

    async def _begun(self) -> "_Group":
        connection = await self._pool.take()
        try:
            await Unit(connection, self._pool, self._busy_seconds).begin(_BEGIN)
        except BaseException as error:
            roll_back(connection, error)
            self._pool.give_back(connection)
            raise
        self._group = _Group(connection)
        return self._group

    @asynccontextmanager
    async def _member(self, group: "_Group", calls: AfterCommit) -> AsyncIterator[Unit]:
        """The block's part of the transaction. Where SQLite has ended the transaction, the whole group is undone."""
        unit = Unit(group.connection, self._pool, self._busy_seconds)
        try:
            group.begin_unit()
            yield unit
            unit.require_open()
            group.end_unit(calls)
        except BaseException as error:
            try:
                group.undo_unit(unit.lost or error)
            except BaseException as fatal:  # noqa: BLE001  # whatever it is, the group has ended
                self._end(group, fatal)
            raise
        finally:
            unit.end()

    def _committed(self, group: "_Group", future: asyncio.Future[None]) -> None:
        self._end(group, future.exception())
        self._next()

    def _end(self, group: "_Group", error: BaseException | None) -> None:
        if error is not None:
            roll_back(group.connection, error)
        self._group = None
        self._pool.give_back(group.connection)
        group.end(error)


class _Group:
    """Units that share one transaction: the first one began it, the others are savepoints in it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._units = 0
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._error: BaseException | None = None
        self._calls: list[Callable[[], None]] = []

    def may_grow(self) -> bool:
        """Whether another unit may join, so that the first one does not wait for its COMMIT for long."""
        return self._units < _MOST_UNITS and self._loop.time() - self._began < _MOST_SECONDS

    def begin_unit(self) -> None:
        """Begin what `undo_unit` undoes."""
        if self._units:
            send(self.connection, "SAVEPOINT unit")

    def end_unit(self, calls: AfterCommit) -> None:
        """Keep what the unit did, for the COMMIT."""
        if self._units:
            send(self.connection, "RELEASE unit")
        self._units += 1
        self._calls += calls

    def undo_unit(self, error: BaseException) -> None:
        """Undo what the unit did. Raises the error that undoes the group.

        That is `error` for the first unit, where SQLite has rolled back, and on a connection that cannot write.
        """
        if not self._units or not is_open(self.connection) or can_only_read(error):
            raise error
        send(self.connection, "ROLLBACK TO unit")
        send(self.connection, "RELEASE unit")

    def end(self, error: BaseException | None) -> None:
        """The COMMIT has succeeded, or `error` has undone what all units did."""
        self._error = error
        self._done.set_result(None)
        for call in () if error else self._calls:
            self._loop.call_soon(call)  # before a unit that waits goes on

    async def ended(self, own: Exception | None = None) -> None:
        """Wait for the COMMIT. `own` is the error of a unit that was undone.

        Raises the error that undid the group: then no unit may be told what it saw of the others. After a failed COMMIT
        it is unknown whether it took effect.
        """
        await whole(self._done)
        if self._error is not None and self._units:
            raise _again(self._error) from own


def _again(error: BaseException) -> DBAPIError:
    """The error for one more unit. It has no statement: it is no fault of that unit's."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return DBAPIError(None, None, cause)  # type: ignore[arg-type]  # whatever SQLite or Python raised
