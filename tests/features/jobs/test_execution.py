"""One run of a job: how it ends, when it comes again, what it leaves for the next one."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.core import clock
from portal.core.errors import NotFound, Unavailable
from portal.db import lease
from portal.db.lease import LEASE
from portal.db.unit_of_work import Database, DatabaseAway
from portal.features.jobs import execution, queue
from portal.features.jobs.kinds import JobKind, RetryDelay
from portal.features.jobs.running import JobFailed, JobLost, RunningJob
from portal.features.jobs.views import JobStatus

from .conftest import Later, Plant, Worked, hangs, kind_of, nothing

MINUTE = timedelta(minutes=1)
SHORT = timedelta(milliseconds=50)


async def run(plant: Plant, kind: JobKind, stopping: asyncio.Event | None = None) -> None:
    claimed = await queue.claim(plant.database, kind, "here")
    assert claimed is not None
    await execution.execute(plant.database, kind, claimed, stopping or asyncio.Event())


async def test_a_job_is_done_once(plant: Plant) -> None:
    worked = Worked()
    job_id = await plant.add(payload={"file": "x"})
    await plant.work_off(kind_of(worked))
    job = await plant.get(job_id)
    assert worked.seen == [{"file": "x"}]
    assert (job.status, job.attempts, job.last_error, job.claim_id) == (JobStatus.DONE, 1, None, None)
    assert job.started_at is not None
    assert job.finished_at is not None


async def test_a_job_that_found_what_does_not_pass_has_failed_at_once(plant: Plant) -> None:
    kind = kind_of(Worked(fails=[JobFailed("two are left")]), max_attempts=3)
    job_id = await plant.add()
    await plant.work_off(kind)
    job = await plant.get(job_id)
    assert (job.status, job.attempts, job.last_error) == (JobStatus.FAILED, 1, "job_failed: two are left")
    assert job.finished_at is not None


async def test_a_job_that_fails_comes_again_later_each_time_until_it_has_failed(plant: Plant, later: Later) -> None:
    worked = Worked(fails=[Unavailable() for _ in range(3)])
    kind = kind_of(worked, max_attempts=3)
    job_id = await plant.add()
    waits = []
    for _ in range(2):
        before = clock.now()
        await plant.work_off(kind)
        job = await plant.get(job_id)
        assert (job.status, job.finished_at) == (JobStatus.QUEUED, None)
        waits.append(job.run_after - before)
        later(waits[-1] + timedelta(seconds=1))
    assert timedelta(seconds=5) <= waits[0] < timedelta(seconds=11)
    assert timedelta(seconds=10) <= waits[1] < timedelta(seconds=21)
    await plant.work_off(kind)
    job = await plant.get(job_id)
    assert (job.status, job.attempts) == (JobStatus.FAILED, 3)
    assert str(job.last_error).startswith("unavailable: ")
    assert len(worked.seen) == 3


@pytest.mark.parametrize("attempts", [1, 2, 5, 10, 1000])
def test_a_wait_doubles_with_jitter_and_has_an_end(attempts: int) -> None:
    retry_delay = RetryDelay(timedelta(seconds=10), timedelta(hours=1))
    whole = min(timedelta(seconds=10) * 2 ** min(attempts - 1, 16), timedelta(hours=1))
    waits = {retry_delay.delay(attempts) for _ in range(20)}
    assert len(waits) > 1
    assert all(whole / 2 <= wait <= whole for wait in waits)


async def test_what_an_exception_says_is_not_kept(plant: Plant) -> None:
    job_id = await plant.add()
    await plant.work_off(kind_of(Worked(fails=[KeyError("prt_a-secret-in-a-message")])))
    assert (await plant.get(job_id)).last_error == "internal_error: KeyError"


async def test_a_handler_that_hangs_meets_its_bound(plant: Plant) -> None:
    job_id = await plant.add()
    await run(plant, kind_of(hangs, time_limit=SHORT, max_attempts=1))
    job = await plant.get(job_id)
    assert (job.status, job.last_error) == (JobStatus.FAILED, "time_limit")


async def test_a_handler_that_swallows_its_cancelling_keeps_no_row(plant: Plant) -> None:
    let_go = asyncio.Event()

    async def stubborn(_: RunningJob) -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    job_id = await plant.add()
    await run(plant, kind_of(stubborn, time_limit=SHORT, max_attempts=1))
    assert (await plant.get(job_id)).status is JobStatus.FAILED
    let_go.set()


async def test_a_job_that_is_cancelled_stops_at_its_next_heartbeat(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    job_id = await plant.add()

    async def told(job: RunningJob) -> None:
        await plant.set(job.job.id, cancel_requested=True)
        await hangs(job)

    await run(plant, kind_of(told))
    job = await plant.get(job_id)
    assert (job.status, job.claim_id) == (JobStatus.CANCELLED, None)


@pytest.mark.parametrize("every", [None, timedelta(minutes=5)])
@pytest.mark.parametrize("max_attempts", [1, 5])
async def test_a_cancelled_job_that_fails_does_not_run_again(
    plant: Plant, max_attempts: int, every: timedelta | None
) -> None:
    async def fails(job: RunningJob) -> None:
        await plant.set(job.job.id, cancel_requested=True)
        raise Unavailable

    job_id = await plant.add()
    await run(plant, kind_of(fails, max_attempts=max_attempts, every=every))
    await assert_cancelled(plant, job_id, every)


@pytest.mark.parametrize("every", [None, timedelta(minutes=5)])
async def test_a_cancelled_job_is_not_released_when_its_process_stops(plant: Plant, every: timedelta | None) -> None:
    stopping = asyncio.Event()

    async def stopped(job: RunningJob) -> None:
        await plant.set(job.job.id, cancel_requested=True)
        stopping.set()
        await hangs(job)

    job_id = await plant.add()
    await run(plant, kind_of(stopped, every=every), stopping)
    await assert_cancelled(plant, job_id, every)


async def assert_cancelled(plant: Plant, job_id: UUID, every: timedelta | None) -> None:
    """The job has ended. A periodic one waits for its next time, with nothing requested."""
    worked, job = Worked(), await plant.get(job_id)
    if every is None:
        assert (job.status, job.claim_id) == (JobStatus.CANCELLED, None)
    else:
        assert (job.status, job.claim_id, job.cancel_requested) == (JobStatus.QUEUED, None, False)
        assert job.run_after > clock.now() + every / 2
    await plant.work_off(kind_of(worked, every=every))
    assert worked.seen == []


async def test_a_job_that_ends_well_though_it_was_cancelled_is_done(plant: Plant) -> None:
    async def ends(job: RunningJob) -> None:
        await plant.set(job.job.id, cancel_requested=True)

    job_id = await plant.add()
    await run(plant, kind_of(ends))
    assert (await plant.get(job_id)).status is JobStatus.DONE


async def test_a_job_that_another_process_has_is_left_alone(
    plant: Plant, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    job_id = await plant.add()
    kind = kind_of(hangs)
    old = await queue.claim(plant.database, kind, "slow")
    assert old is not None
    later(LEASE + timedelta(seconds=1))
    new = await queue.claim(plant.database, kind, "here")
    assert new is not None
    with pytest.raises(JobLost):
        await old.save(done=1)
    await execution.execute(plant.database, kind, old, asyncio.Event())
    job = await plant.get(job_id)
    assert (job.status, job.worker, job.progress_done) == (JobStatus.RUNNING, "here", None)


async def test_where_it_was_cut_off_the_next_run_goes_on(plant: Plant, later: Later) -> None:
    begun_at: list[Any] = []

    async def in_pages(job: RunningJob) -> None:
        begun_at.append(job.checkpoint)
        page = job.checkpoint["page"] if job.checkpoint else 0
        while page < 3:
            page += 1
            await job.save(done=page, total=3, checkpoint={"page": page})
            if len(begun_at) < page < 3:
                raise Unavailable

    job_id = await plant.add()
    for _ in range(3):
        await plant.work_off(kind_of(in_pages))
        later(MINUTE)
    job = await plant.get(job_id)
    assert begun_at == [None, {"page": 2}]
    assert (job.status, job.progress_done, job.progress_total) == (JobStatus.DONE, 3, 3)


async def test_progress_is_saved_with_the_work_or_not_at_all(plant: Plant) -> None:
    async def half(job: RunningJob) -> None:
        async with plant.database.write() as connection:
            await job.save(done=1, connection=connection)
            raise Unavailable

    job_id = await plant.add()
    await plant.work_off(kind_of(half))
    assert (await plant.get(job_id)).progress_done is None


async def test_a_process_that_stops_releases_its_job_without_an_attempt(plant: Plant) -> None:
    stopping = asyncio.Event()

    async def stopped(job: RunningJob) -> None:
        await job.save(done=1, checkpoint="half")
        stopping.set()
        await hangs(job)

    job_id = await plant.add()
    await run(plant, kind_of(stopped), stopping)
    job = await plant.get(job_id)
    assert (job.status, job.attempts, job.worker, job.checkpoint) == (JobStatus.QUEUED, 0, None, "half")
    await plant.work_off(kind_of(nothing))
    assert (await plant.get(job_id)).status is JobStatus.DONE


async def test_a_job_that_ends_while_its_process_stops_is_done(plant: Plant) -> None:
    stopping = asyncio.Event()

    async def ends(_: RunningJob) -> None:
        stopping.set()

    job_id = await plant.add()
    await run(plant, kind_of(ends), stopping)
    assert (await plant.get(job_id)).status is JobStatus.DONE


async def test_a_periodic_job_is_one_row_and_comes_again(plant: Plant, later: Later) -> None:
    worked = Worked(fails=[NotFound()])
    kind = kind_of(worked, every=timedelta(minutes=5), max_attempts=1)
    job_id = await plant.add(unique_key=queue.PERIODIC)
    await plant.work_off(kind)
    failed = await plant.get(job_id)
    assert (failed.status, failed.attempts) == (JobStatus.QUEUED, 1)
    assert failed.run_after <= clock.now() + timedelta(seconds=10)
    later(MINUTE)
    await plant.work_off(kind)
    done = await plant.get(job_id)
    assert (done.status, done.attempts, done.last_error) == (JobStatus.QUEUED, 0, None)
    assert timedelta(minutes=4) < done.run_after - clock.now() <= timedelta(minutes=5)
    assert len(worked.seen) == 2


async def test_an_outcome_is_written_when_the_database_is_back(
    plant: Plant, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await plant.add()
    real, away = RunningJob.settle, [DatabaseAway(), DatabaseAway()]

    async def settle(self: RunningJob, *arguments: Any, **more: Any) -> bool:
        if away:
            raise away.pop()
        return await real(self, *arguments, **more)

    claimed = await queue.claim(database, kind_of(nothing), "here")
    assert claimed is not None
    monkeypatch.setattr(RunningJob, "settle", settle)
    await execution.execute(database, kind_of(nothing), claimed, asyncio.Event())
    assert (await plant.get(job_id)).status is JobStatus.DONE
