"""Looking after jobs: listing, cancelling, trying again, forgetting."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest

from portal.core import clock
from portal.core.errors import NotFound
from portal.core.ids import new_id
from portal.features.jobs import queue, service
from portal.features.jobs.service import FINISHED_KEPT, Jobs, JobStateRefused
from portal.features.jobs.views import Job, JobFilters, JobStatus

from .conftest import Later, Plant, kind_of, nothing

Change = Callable[..., Awaitable[Job]]


KINDS = (kind_of(nothing), kind_of(nothing, name="comes_again", every=timedelta(minutes=5)))


async def change(plant: Plant, what: Change, job_id: UUID) -> Job:
    async with plant.database.write() as connection:
        return await what(Jobs(plant.database, KINDS), connection, job_id)


async def test_jobs_are_listed_newest_first_page_by_page(plant: Plant) -> None:
    ids = [await plant.add("odd" if number % 2 else "even") for number in range(5)]
    jobs, seen, after = Jobs(plant.database, ()), [], None
    while True:
        page = await jobs.page(JobFilters(), after, 2)
        seen += [job.id for job in page.items]
        after = page.next_after
        if after is None:
            break
    assert seen == ids[::-1]
    assert [job.id for job in await plant.all(kind="odd")] == [ids[3], ids[1]]
    await change(plant, Jobs.cancel, ids[0])
    assert [job.id for job in await plant.all(status=JobStatus.CANCELLED)] == [ids[0]]
    assert [job.id for job in await plant.all(kind="odd", status=JobStatus.CANCELLED)] == []


async def test_a_job_that_cannot_be_read_is_listed_and_can_be_cancelled(plant: Plant) -> None:
    broken, other = await plant.add("of_another_release"), await plant.add()
    await plant.set(broken, payload="{")
    assert [(job.id, job.readable) for job in await plant.all()] == [(other, True), (broken, False)]
    assert (await change(plant, Jobs.cancel, broken)).status is JobStatus.CANCELLED


async def test_a_queued_job_is_cancelled_at_once_and_never_runs(plant: Plant) -> None:
    job_id = await plant.add()
    job = await change(plant, Jobs.cancel, job_id)
    assert (job.status, job.attempts) == (JobStatus.CANCELLED, 0)
    assert job.finished_at is not None
    assert await queue.claim(plant.database, kind_of(nothing), "here") is None


async def test_a_periodic_job_of_a_kind_that_is_no_more_can_be_cancelled(plant: Plant) -> None:
    job_id = await plant.add("of_another_release", unique_key=queue.PERIODIC)
    assert (await change(plant, Jobs.cancel, job_id)).status is JobStatus.CANCELLED


async def test_a_running_job_is_asked_to_stop(plant: Plant) -> None:
    job_id = await plant.add()
    running = await queue.claim(plant.database, kind_of(nothing), "here")
    assert running is not None
    job = await change(plant, Jobs.cancel, job_id)
    assert (job.status, job.cancel_requested) == (JobStatus.RUNNING, True)
    async with plant.database.write() as connection:
        assert not await running.renew(connection, clock.now())


async def test_what_cannot_be_cancelled_or_retried_is_refused(plant: Plant) -> None:
    periodic, done, running = await plant.add("comes_again"), await plant.add(), await plant.add()
    await plant.set(done, status="done", finished_at=clock.now())
    await plant.set(running, status="running", lease_until=clock.now())
    for what, job_id in (
        (Jobs.cancel, periodic),
        (Jobs.cancel, done),
        (Jobs.retry, done),
        (Jobs.retry, running),
    ):
        with pytest.raises(JobStateRefused):
            await change(plant, what, job_id)
    for what in (Jobs.cancel, Jobs.retry):
        with pytest.raises(NotFound):
            await change(plant, what, new_id())


@pytest.mark.parametrize("status", ["failed", "cancelled", "queued"])
async def test_a_job_is_tried_again_now_with_all_its_attempts(plant: Plant, status: str) -> None:
    job_id = await plant.add(run_after=clock.now() + timedelta(days=1))
    over = None if status == "queued" else clock.now()
    await plant.set(job_id, status=status, attempts=5, finished_at=over, cancel_requested=True, checkpoint='"half"')
    job = await change(plant, Jobs.retry, job_id)
    assert (job.status, job.attempts, job.cancel_requested) == (JobStatus.QUEUED, 0, False)
    assert (job.finished_at, job.checkpoint) == (None, "half")
    await plant.work_off(kind_of(nothing))
    assert (await plant.get(job_id)).status is JobStatus.DONE


async def test_a_job_is_not_tried_again_beside_another_of_its_key(plant: Plant) -> None:
    job_id = await plant.add(unique_key="one")
    await change(plant, Jobs.cancel, job_id)
    await plant.add(unique_key="one")
    with pytest.raises(JobStateRefused, match="same key"):
        await change(plant, Jobs.retry, job_id)
    assert (await plant.get(job_id)).status is JobStatus.CANCELLED


async def test_of_a_cancel_and_a_claim_at_once_the_job_is_one_or_the_other(plant: Plant) -> None:
    for _ in range(10):
        job_id = await plant.add()
        claimed, job = await asyncio.gather(
            queue.claim(plant.database, kind_of(nothing), "here"), change(plant, Jobs.cancel, job_id)
        )
        assert (claimed is None) == (job.status is JobStatus.CANCELLED)


async def test_finished_jobs_are_kept_for_a_while(plant: Plant, later: Later) -> None:
    ended, waiting = await plant.add(), await plant.add(unique_key=queue.PERIODIC)
    await change(plant, Jobs.cancel, ended)
    assert await service.forget_finished(plant.database) == 0
    later(FINISHED_KEPT + timedelta(minutes=1))
    assert await service.forget_finished(plant.database) == 1
    assert [job.id for job in await plant.all()] == [waiting]
