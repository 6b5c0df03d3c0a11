"""Leases: a row that a process works on says until when it belongs to that process.

Comes in: the statement that renews one row. Leaves: an event that is set when the row belongs to another. A row whose
lease has expired is taken by a compare-and-set on `expired`: of two that race for it, one has it. A pending upload, the
use of a link and a running job are such rows.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock, log
from portal.db.unit_of_work import Database

LEASE: Final = timedelta(seconds=60)
RENEW_SECONDS = LEASE.total_seconds() / 3
_ATTEMPT_SECONDS: Final = LEASE.total_seconds() / 3

Renew = Callable[[AsyncConnection, datetime], Awaitable[bool]]
"""Set the lease's end. False where the row is not this process's any more."""

_log = log.get(__name__)


def expired(lease_until: Any, moment: Any) -> ColumnElement[bool]:
    """Whether a row may be taken: its process renewed it no more."""
    condition: ColumnElement[bool] = lease_until <= moment
    return condition


@asynccontextmanager
async def renewed(database: Database, renew: Renew, row: str, *, strict: bool = False) -> AsyncIterator[asyncio.Event]:
    """Renew the lease of a row that was just taken, as long as the block lasts; the event is set when the row is lost.

    `strict`: also before the lease ends without having been renewed, for work that must not run twice at once. `row`
    names it in the log.
    """
    lost, ended = asyncio.Event(), asyncio.Event()
    renewal = asyncio.create_task(_Renewal(database, renew, row, lost, ended, strict=strict).often())
    try:
        yield lost
    finally:
        ended.set()  # a renewal that is under way comes to its end: nothing is written after the block
        await asyncio.wait([renewal])


@dataclass(frozen=True, slots=True)
class _Renewal:
    database: Database
    renew: Renew
    row: str
    lost: asyncio.Event
    ended: asyncio.Event
    strict: bool = field(kw_only=True)

    async def often(self) -> None:
        held_until = clock.now() + LEASE
        while not (self.lost.is_set() or await self._has_ended()):
            until = clock.now() + LEASE
            try:
                await self._once(until)
                held_until = until
            except Exception as error:  # noqa: BLE001  # the next attempt may succeed
                _log.warning("lease_not_renewed", row=self.row, error=type(error).__name__)
                if self.strict and clock.now() + timedelta(seconds=RENEW_SECONDS) >= held_until:
                    self.lost.set()  # the next attempt would come too late

    async def _has_ended(self) -> bool:
        """Whether the block did, while the next renewal was waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RENEW_SECONDS):
                await self.ended.wait()
        return self.ended.is_set()

    async def _once(self, until: datetime) -> None:
        async with asyncio.timeout(_ATTEMPT_SECONDS), self.database.write() as connection:
            if not await self.renew(connection, until):
                self.lost.set()
