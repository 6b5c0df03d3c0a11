"""Leases: renewed while the block lasts, lost when another has the row, and in time where work must not run twice."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from portal.core import clock
from portal.db import lease
from portal.db.lease import LEASE, renewed
from portal.db.unit_of_work import Database, DatabaseAway


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
    async with renewed(database, row.renew, "row", strict=strict) as lost:
        await row.asked.wait()
    assert not lost.is_set()


async def test_work_that_must_not_run_twice_is_lost_before_its_lease_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = clock.now

    class Late(Row):
        async def renew(self, connection: Any, until: datetime) -> bool:
            monkeypatch.setattr(clock, "now", lambda: real() + LEASE - timedelta(seconds=1))
            monkeypatch.setattr(lease, "RENEW_SECONDS", 1)
            return await super().renew(connection, until)

    row = Late(DatabaseAway())
    async with renewed(database, row.renew, "row", strict=True) as lost:
        await lost.wait()
    assert len(row.ends) == 1


async def test_nothing_is_renewed_after_the_block(database: Database) -> None:
    row = Row()
    async with renewed(database, row.renew, "row"):
        await row.asked.wait()
    count = len(row.ends)
    await asyncio.sleep(0)
    assert len(row.ends) == count
