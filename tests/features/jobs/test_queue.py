"""The queue: what a transaction enqueues, and that no two processes ever have one job."""

import asyncio
import contextlib
from datetime import timedelta
from uuid import UUID

import pytest

from portal.core import clock
from portal.core.ids import new_id
from portal.db import statements
from portal.db.connection import Connection
from portal.db.lease import LEASE
from portal.db.unit_of_work import Database
from portal.features.jobs import queue, wakeup
from portal.features.jobs.kinds import JobKind, by_name
from portal.features.jobs.views import JobStatus

from .conftest import Later, Plant, kind_of, nothing

KIND = kind_of(nothing)
UNREADABLE = [{"payload": "{"}, {"payload": "[]"}, {"payload": "[" * 100_000}, {"checkpoint": "x"}]


async def test_a_job_is_there_with_what_it_was_given(plant: Plant) -> None:
    job = await plant.get(await plant.add(payload={"file": "x", "page": 3}, created_by="user:1"))
    assert (job.kind, job.payload, job.created_by) == ("work", {"file": "x", "page": 3}, "user:1")
    assert (job.status, job.attempts, job.worker, job.finished_at) == (JobStatus.QUEUED, 0, None, None)


async def test_a_transaction_that_rolls_back_leaves_no_job_and_wakes_no_runner(plant: Plant) -> None:
    with wakeup.listening() as woken:
        with contextlib.suppress(ZeroDivisionError):
            async with plant.database.write() as connection:
                await queue.enqueue(connection, "work", {})
                raise ZeroDivisionError
        assert not woken.is_set()
        await plant.add()
        assert woken.is_set()
    assert len(await plant.all()) == 1


async def test_what_is_no_json_is_refused_before_anything_is_written(plant: Plant) -> None:
    for payload in ({"file": new_id()}, {"size": float("nan")}):
        with pytest.raises((TypeError, ValueError)):
            await plant.add(payload=payload)
    assert await plant.all() == []


async def test_of_one_key_one_job_is_unfinished(plant: Plant) -> None:
    first = await plant.add(unique_key="file:1")
    other, of_other_kind = await plant.add(unique_key="file:2"), await plant.add("more", unique_key="file:1")
    async with plant.database.write() as connection:
        assert await queue.enqueue(connection, "work", {}, unique_key="file:1") is None
    await plant.work_off(KIND)
    again = await plant.add(unique_key="file:1")
    assert {job.id for job in await plant.all()} == {first, other, of_other_kind, again}


async def test_many_that_enqueue_one_key_at_once_leave_one_job(plant: Plant) -> None:
    async def enqueue() -> UUID | None:
        async with plant.database.write() as connection:
            return await queue.enqueue(connection, "work", {}, unique_key="one")

    assert sum(job_id is not None for job_id in await asyncio.gather(*(enqueue() for _ in range(20)))) == 1


async def test_a_job_is_due_at_its_time(plant: Plant, later: Later) -> None:
    await plant.add(run_after=clock.now() + timedelta(minutes=5))
    assert await queue.earliest_due(plant.database, ["work"]) is None
    assert await queue.claim(plant.database, KIND, "here") is None
    later(timedelta(minutes=6))
    assert await queue.earliest_due(plant.database, ["work"]) == "work"
    assert await queue.claim(plant.database, KIND, "here") is not None
    assert await queue.earliest_due(plant.database, ["work"]) is None


async def test_a_kind_that_is_not_known_is_neither_found_nor_claimed(plant: Plant) -> None:
    job_id = await plant.add("of_another_release")
    assert await queue.earliest_due(plant.database, ["work"]) is None
    assert await queue.earliest_due(plant.database, []) is None
    assert await queue.claim(plant.database, KIND, "here") is None
    assert (await plant.get(job_id)).status is JobStatus.QUEUED


async def test_the_one_that_waits_longest_comes_first(plant: Plant) -> None:
    now = clock.now()
    ids = [await plant.add(run_after=now - timedelta(seconds=seconds)) for seconds in (1, 3, 2)]
    claimed = [await queue.claim(plant.database, KIND, "here") for _ in ids]
    assert [running.job.id for running in claimed if running] == [ids[1], ids[2], ids[0]]


async def test_of_many_claims_at_once_each_job_has_one(plant: Plant, database: Database) -> None:
    ids = [await plant.add() for _ in range(12)]
    claimed = await asyncio.gather(*(queue.claim(database, KIND, f"worker {n}") for n in range(24)))
    got = [running.job.id for running in claimed if running is not None]
    assert len(got) == len(set(got))
    while (running := await queue.claim(database, KIND, "late")) is not None:
        got.append(running.job.id)  # one that skipped a row which another had found before it
    assert sorted(got) == sorted(ids)
    assert {job.attempts for job in await plant.all()} == {1}


@pytest.mark.parametrize("bound", [1, 3])
async def test_no_more_of_a_kind_run_than_may_at_once(plant: Plant, bound: int) -> None:
    kind = kind_of(nothing, at_once=bound)
    for _ in range(8):
        await plant.add()
    claimed = await asyncio.gather(*(queue.claim(plant.database, kind, "here") for _ in range(8)))
    assert sum(running is not None for running in claimed) == bound
    assert await queue.claim(plant.database, kind, "here") is None


async def test_a_dead_process_holds_no_place_of_its_kind(plant: Plant, later: Later) -> None:
    kind = kind_of(nothing, at_once=1)
    await plant.add()
    assert await queue.claim(plant.database, kind, "dies") is not None
    later(LEASE + timedelta(seconds=1))
    assert await queue.claim(plant.database, kind, "here") is not None


async def test_a_lease_is_a_whole_one_however_long_the_claim_waited(
    plant: Plant, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = statements.hold_alone

    async def waits(connection: Connection, name: str) -> None:
        await real(connection, name)
        later(LEASE / 2)

    monkeypatch.setattr("portal.features.jobs.repository.hold_alone", waits)
    await plant.add()
    claimed = await queue.claim(plant.database, kind_of(nothing, at_once=1), "here")
    assert claimed is not None
    assert claimed.job.lease_until is not None
    assert claimed.job.lease_until > clock.now() + LEASE / 2 + timedelta(seconds=1)


async def test_a_lease_that_ran_out_is_claimed_once_by_one(plant: Plant, later: Later) -> None:
    await plant.add()
    dead = await queue.claim(plant.database, KIND, "dies")
    assert dead is not None
    later(LEASE + timedelta(seconds=1))
    claimed = await asyncio.gather(*(queue.claim(plant.database, KIND, f"worker {n}") for n in range(8)))
    (taken,) = [running for running in claimed if running is not None]
    assert (taken.job.id, taken.job.attempts) == (dead.job.id, 2)
    async with plant.database.write() as connection:
        assert not await dead.renew(connection, clock.now() + LEASE)
        assert await taken.renew(connection, clock.now() + LEASE)


async def test_a_job_whose_process_dies_each_time_fails(plant: Plant, later: Later) -> None:
    kind = kind_of(nothing, max_attempts=3)
    job_id = await plant.add()
    for _ in range(3):
        assert await queue.claim(plant.database, kind, "dies") is not None
        later(LEASE + timedelta(seconds=1))
    assert await queue.claim(plant.database, kind, "here") is None
    job = await plant.get(job_id)
    assert (job.status, job.attempts, job.last_error) == (JobStatus.FAILED, 3, "process_died")
    assert (job.claim_id, job.worker, job.lease_until) == (None, None, None)


async def test_a_job_to_cancel_whose_process_died_is_cancelled_and_the_next_is_claimed(
    plant: Plant, later: Later
) -> None:
    dead, next_one = await plant.add(), await plant.add()
    assert await queue.claim(plant.database, KIND, "dies") is not None
    await plant.set(dead, cancel_requested=True)
    later(LEASE + timedelta(seconds=1))
    claimed = await queue.claim(plant.database, KIND, "here")
    assert claimed is not None
    assert claimed.job.id == next_one
    assert (await plant.get(dead)).status is JobStatus.CANCELLED


async def test_a_queued_job_to_cancel_is_cancelled_and_the_next_is_claimed(plant: Plant) -> None:
    cancelled, next_one = await plant.add(), await plant.add()
    await plant.set(cancelled, cancel_requested=True)
    claimed = await queue.claim(plant.database, KIND, "here")
    assert claimed is not None
    assert claimed.job.id == next_one
    job = await plant.get(cancelled)
    assert (job.status, job.attempts) == (JobStatus.CANCELLED, 0)


@pytest.mark.parametrize("values", UNREADABLE, ids=repr)
async def test_a_job_that_cannot_be_read_fails_and_the_next_is_claimed(plant: Plant, values: dict[str, str]) -> None:
    broken, next_one = await plant.add(payload={"file": "x"}), await plant.add()
    await plant.set(broken, **values)
    claimed = await queue.claim(plant.database, KIND, "here")
    assert claimed is not None
    assert claimed.job.id == next_one
    job = await plant.get(broken)
    assert (job.status, job.attempts, job.last_error) == (JobStatus.FAILED, 0, "unreadable")
    assert (job.payload, job.checkpoint) == ({}, None)


@pytest.mark.parametrize("values", UNREADABLE, ids=repr)
async def test_a_periodic_job_that_cannot_be_read_comes_again_as_a_new_one(
    plant: Plant, later: Later, values: dict[str, str]
) -> None:
    kind = kind_of(nothing, every=timedelta(minutes=5))
    job_id = await plant.add(unique_key=queue.PERIODIC)
    await plant.set(job_id, **values)
    assert await queue.claim(plant.database, kind, "here") is None
    assert (await plant.get(job_id)).last_error == "unreadable"
    later(timedelta(minutes=6))
    await plant.work_off(kind)
    job = await plant.get(job_id)
    assert (job.status, job.last_error) == (JobStatus.QUEUED, None)


def test_two_kinds_of_one_name_stop_the_start() -> None:
    with pytest.raises(ValueError, match="work"):
        by_name([KIND, JobKind("work", nothing)])
