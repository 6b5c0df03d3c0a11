"""The runner: what is due is run, by one process, whatever happens meanwhile."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from portal.core import clock
from portal.db.unit_of_work import Database, DatabaseAway
from portal.features.jobs import queue, runner, wakeup
from portal.features.jobs.kinds import JobKind
from portal.features.jobs.running import RunningJob
from portal.features.jobs.service import Jobs
from portal.features.jobs.views import JobStatus

from .conftest import Later, Plant, hangs, kind_of, nothing

EVERY = timedelta(minutes=5)


class Tally:
    """A handler that says when so many jobs have run, and how many did at once."""

    def __init__(self, expected: int) -> None:
        self.ran: Counter[Any] = Counter()
        self.most, self._now, self._left = 0, 0, expected
        self.all = asyncio.Event()

    async def __call__(self, job: RunningJob) -> None:
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0)
        self.ran[job.job.id] += 1
        self._now -= 1
        self._left -= 1
        if self._left == 0:
            self.all.set()


async def test_several_runners_run_every_job_once(plant: Plant) -> None:
    ids = [await plant.add() for _ in range(20)]
    tally = Tally(len(ids))
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(plant.running(kind_of(tally)))
        await tally.all.wait()
    assert tally.ran == dict.fromkeys(ids, 1)
    assert {job.status for job in await plant.all()} == {JobStatus.DONE}


async def test_no_more_run_at_once_than_the_process_may(plant: Plant) -> None:
    for _ in range(10):
        await plant.add()
    tally = Tally(10)
    async with plant.running(kind_of(tally), at_once=2):
        await tally.all.wait()
    assert tally.most <= 2


async def test_a_slow_kind_delays_no_other(plant: Plant) -> None:
    await plant.add("slow")
    await plant.add("slow")
    quick = await plant.add()
    tally = Tally(1)
    async with plant.running(kind_of(hangs, name="slow", at_once=1), kind_of(tally), at_once=2):
        await tally.all.wait()
    assert tally.ran == {quick: 1}


async def test_what_is_enqueued_here_runs_at_once(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "POLL_SECONDS", 3600)
    tally = Tally(1)
    async with plant.running(kind_of(tally)):
        await plant.add()
        await tally.all.wait()


async def test_a_kind_of_another_release_is_left_alone(plant: Plant) -> None:
    foreign = await plant.add("of_another_release")
    tally = Tally(1)
    async with plant.running(kind_of(tally)):
        await plant.add()
        await tally.all.wait()
    job = await plant.get(foreign)
    assert (job.status, job.attempts, job.last_error) == (JobStatus.QUEUED, 0, None)


async def test_periodic_kinds_have_one_job_however_many_processes_begin(plant: Plant) -> None:
    tally = Tally(1)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(plant.running(kind_of(tally, every=EVERY)))
        await tally.all.wait()
    async with plant.running(kind_of(nothing, every=EVERY)):
        pass
    (job,) = await plant.all()
    assert (job.unique_key, job.status) == ("periodic", JobStatus.QUEUED)


async def test_a_periodic_job_that_another_release_cancelled_comes_back(plant: Plant, later: Later) -> None:
    job_id = await plant.add(unique_key=queue.PERIODIC, run_after=clock.now() + timedelta(days=1))
    watched, tally = Watched(plant.database), Tally(1)
    async with plant.running(kind_of(tally, every=EVERY), database=watched):
        await watched.was_read.wait()
        async with plant.database.write() as connection:
            await Jobs(plant.database, ()).cancel(connection, job_id)
        later(runner.PERIODIC_KEPT)
        await tally.all.wait()
    assert job_id not in tally.ran


@pytest.mark.parametrize("error", [DatabaseAway(), ZeroDivisionError()], ids=repr)
async def test_a_kind_that_cannot_be_claimed_stops_no_other(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real = queue.claim

    async def claim(database: Database, kind: JobKind, worker: str) -> RunningJob | None:
        if kind.name == "broken":
            raise error
        return await real(database, kind, worker)

    monkeypatch.setattr(queue, "claim", claim)
    await plant.add("broken")
    quick, tally = await plant.add(), Tally(1)
    async with plant.running(kind_of(nothing, name="broken"), kind_of(tally)):
        await tally.all.wait()
    assert tally.ran == {quick: 1}


async def test_a_runner_that_stops_leaves_nothing_running(plant: Plant) -> None:
    job_id = await plant.add()
    begun = asyncio.Event()

    async def begins(job: RunningJob) -> None:
        begun.set()
        await hangs(job)

    before = asyncio.all_tasks()
    async with plant.running(kind_of(begins)):
        await begun.wait()
    assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()
    assert (await plant.get(job_id)).status is JobStatus.QUEUED


class Leaving(Database):
    """A database that is away for as many units of work as it is told."""

    away = 0
    error: Exception = DatabaseAway()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        if self.away:
            self.away -= 1
            raise self.error
        async with super().read() as connection:
            yield connection


@pytest.mark.parametrize("error", [DatabaseAway(), ZeroDivisionError()], ids=repr)
async def test_a_runner_survives_a_database_that_goes_away(plant: Plant, error: Exception) -> None:
    leaving = Leaving(plant.database.engine)
    leaving.away, leaving.error = 3, error
    tally = Tally(1)
    made = Jobs(leaving, [kind_of(tally)]).runner(4)
    task = asyncio.create_task(made.run())
    await plant.add()
    await tally.all.wait()
    made.stop()
    await task
    assert leaving.away == 0


class Watched(Database):
    """A database that says when it was read, and counts what was written."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.engine)
        self.was_read, self.writes = asyncio.Event(), 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        async with super().read() as connection:
            yield connection
        self.was_read.set()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Any]:
        self.writes += 1
        async with super().write() as connection:
            yield connection


async def test_an_idle_runner_only_reads(plant: Plant) -> None:
    watched = Watched(plant.database)
    made = Jobs(watched, [kind_of(nothing)]).runner(4)
    task = asyncio.create_task(made.run())
    await watched.was_read.wait()
    before = watched.writes
    for _ in range(3):
        watched.was_read.clear()
        await watched.was_read.wait()
    assert watched.writes == before
    made.stop()
    await task
    assert wakeup._listening == set()


async def test_a_job_outlives_the_connections_to_its_database(plant: Plant) -> None:
    """On Postgres: the server ends every one while the job runs."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def waits(job: RunningJob) -> None:
        begun.set()
        await go_on.wait()
        for _ in range(2):
            with contextlib.suppress(DatabaseAway):  # its connections were ended: the first use finds that out
                await job.save(done=1)

    job_id = await plant.add()
    async with plant.running(kind_of(waits)):
        await begun.wait()
        if plant.database.engine.dialect.name == "postgresql":
            await _end_connections(plant.database)
        go_on.set()
        with wakeup.listening() as woken:
            while (await plant.get(job_id)).status is not JobStatus.DONE:
                await woken.wait()
                woken.clear()


async def _end_connections(database: Database) -> None:
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    others += "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with database.read() as connection:
        await connection.execute(text(others))
