"""Leases: a row that a process works on stores the time until which it belongs to that process.

A pending upload, the use of a link and a running job are such rows. A lease lasts 60 seconds and is renewed every 20.
Comes in: the statement that renews one row. Leaves: an event that is set when the row is lost to another process. A row
with an expired lease is taken by a compare-and-set on `expired`: of two processes that try, one succeeds.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement

from portal.core import clock, log
from portal.db.connection import Connection
from portal.db.unit_of_work import Database

LEASE: Final = timedelta(seconds=60)
RENEW_SECONDS = LEASE.total_seconds() / 3
_ATTEMPT_SECONDS: Final = LEASE.total_seconds() / 3
STOP_SECONDS: Final = 5.0
"""The time that work has to stop before its lease ends; a job needs `jobs.execution.CANCEL_SECONDS`, which is less."""

Renew = Callable[[Connection, datetime], Awaitable[bool]]
"""A statement that sets the end of the lease. Returns False if the row no longer belongs to this process."""

_log = log.get(__name__)


def expired(lease_until: Any, moment: Any) -> ColumnElement[bool]:
    """The SQL condition that a lease has expired at `moment`: another process may take the row."""
    condition: ColumnElement[bool] = lease_until <= moment
    return condition


@asynccontextmanager
async def renewed(
    database: Database, renew: Renew, row: str, *, held_until: datetime | None = None
) -> AsyncIterator[asyncio.Event]:
    """Renew the lease of a row that was just taken, for as long as the block lasts.

    The yielded event is set when the row belongs to another process. `row` is a name for the log. After the block,
    nothing is written. `held_until`, the end of the lease in the row, is for work that must never run in two processes
    at once: the event is then also set STOP_SECONDS before the end of a lease that is not renewed.
    """
    lost, ended = asyncio.Event(), asyncio.Event()
    deadline = None if held_until is None else _Deadline(lost, held_until)
    renewal = asyncio.create_task(_Renewal(database, renew, row, lost, ended, deadline).often())
    try:
        yield lost
    finally:
        ended.set()  # a renewal in progress is awaited: nothing is written after the block
        await asyncio.wait([renewal])
        if deadline is not None:
            deadline.cancel()


class _Deadline:
    """Sets `lost` STOP_SECONDS before the lease ends: a timer, since an attempt to renew may hang."""

    def __init__(self, lost: asyncio.Event, held_until: datetime) -> None:
        self._lost = lost
        self._timer = self._at(held_until)

    def move(self, held_until: datetime) -> None:
        self.cancel()
        self._timer = self._at(held_until)

    def cancel(self) -> None:
        self._timer.cancel()

    def _at(self, held_until: datetime) -> asyncio.TimerHandle:
        left = (held_until - clock.now()).total_seconds()
        return asyncio.get_running_loop().call_later(left - STOP_SECONDS, self._lost.set)


@dataclass(frozen=True, slots=True)
class _Renewal:
    database: Database
    renew: Renew
    row: str
    lost: asyncio.Event
    ended: asyncio.Event
    deadline: _Deadline | None

    async def often(self) -> None:
        while not (self.lost.is_set() or await self._has_ended()):
            until = clock.now() + LEASE
            try:
                await self._once(until)
                if self.deadline is not None:
                    self.deadline.move(until)
            except Exception as error:  # noqa: BLE001  # the next attempt may succeed
                _log.warning("lease_not_renewed", row=self.row, error=type(error).__name__)

    async def _has_ended(self) -> bool:
        """Wait until the next renewal is due; true if the block ended meanwhile, or its work has to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RENEW_SECONDS):
                await self.ended.wait()
        return self.ended.is_set() or self.lost.is_set()

    async def _once(self, until: datetime) -> None:
        async with asyncio.timeout(_ATTEMPT_SECONDS), self.database.write() as connection:
            if not await self.renew(connection, until):
                self.lost.set()
