"""Leases: renewed while the block lasts, lost when another has the row, and in time where work must not run twice."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from portal.core import clock
from portal.db import lease
from portal.db.lease import LEASE, renewed
from portal.db.unit_of_work import Database, DatabaseAway

STOP = timedelta(seconds=lease.STOP_SECONDS)


class Row:
    """What renewing it answers."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.ends: list[datetime] = []
        self.asked = asyncio.Event()

    async def renew(self, _: Any, until: datetime) -> bool:
        self.ends.append(until)
        answer = self.answers.pop(0) if self.answers else True
        if not self.answers:
            self.asked.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0)


async def test_a_lease_is_renewed_a_whole_lease_ahead(database: Database) -> None:
    row, before = Row(), clock.now()
    async with renewed(database, row.renew, "row") as lost:
        await row.asked.wait()
    assert row.ends[0] >= before + LEASE
    assert not lost.is_set()


async def test_a_row_of_another_is_lost_and_asked_for_no_more(database: Database) -> None:
    row = Row(True, False)
    async with renewed(database, row.renew, "row") as lost:
        await lost.wait()
    assert len(row.ends) == 2


@pytest.mark.parametrize("strict", [False, True])
async def test_a_database_that_is_away_for_a_moment_loses_nothing(database: Database, *, strict: bool) -> None:
    row = Row(DatabaseAway(), ZeroDivisionError(), True)
    held_until = clock.now() + LEASE if strict else None
    async with renewed(database, row.renew, "row", held_until=held_until) as lost:
        await row.asked.wait()
    assert not lost.is_set()


async def test_work_that_must_not_run_twice_is_lost_in_time_though_an_attempt_hangs(database: Database) -> None:
    go_on, left = asyncio.Event(), asyncio.Event()

    async def hangs(_: Any, __: datetime) -> bool:
        try:
            await go_on.wait()
        finally:
            left.set()
        return True

    soon = clock.now() + timedelta(seconds=lease.STOP_SECONDS + 0.05)
    async with renewed(database, hangs, "row", held_until=soon) as lost:
        await lost.wait()
        assert not left.is_set()
        go_on.set()


async def test_work_that_must_not_run_twice_is_lost_before_its_lease_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", LEASE.total_seconds())  # the first attempt would come too late
    row = Row()
    async with renewed(database, row.renew, "row", held_until=clock.now() + STOP) as lost:
        await lost.wait()
    assert row.ends == []


async def test_a_lease_counts_from_before_the_attempt_that_renewed_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = clock.now

    class Slow(Row):
        async def renew(self, connection: Any, until: datetime) -> bool:
            monkeypatch.setattr(clock, "now", lambda: real() + LEASE - STOP)
            monkeypatch.setattr(lease, "RENEW_SECONDS", LEASE.total_seconds())
            return await super().renew(connection, until)

    row = Slow(True)
    async with renewed(database, row.renew, "row", held_until=real() + LEASE) as lost:
        await lost.wait()
    assert len(row.ends) == 1


async def test_a_renewal_moves_the_time_to_stop() -> None:
    lost = asyncio.Event()
    deadline = lease._Deadline(lost, clock.now() + STOP)
    deadline.move(clock.now() + LEASE)
    await asyncio.sleep(0.01)
    assert not lost.is_set()
    deadline.cancel()


async def test_nothing_is_renewed_after_the_block(database: Database) -> None:
    row = Row()
    async with renewed(database, row.renew, "row"):
        await row.asked.wait()
    count = len(row.ends)
    await asyncio.sleep(0)
    assert len(row.ends) == count
