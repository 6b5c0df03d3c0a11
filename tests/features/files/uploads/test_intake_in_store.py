"""Intake of files that lie in the store: a lease while bytes flow, two transactions, what a crash leaves between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from portal.backends.blobs.base import StoreAway
from portal.core import clock, tasks
from portal.core.errors import (
    ClientGone,
    PortalError,
    StorageFull,
    Unavailable,
)
from portal.core.principal import Principal
from portal.db import lease
from portal.db.connection import Connection
from portal.db.lease import LEASE
from portal.db.unit_of_work import DatabaseAway
from portal.features.files import repository
from portal.features.files.listing import Filters, list_page
from portal.features.files.models import Status
from portal.features.files.uploads import cleanup
from portal.features.files.uploads.intake import InFlight
from portal.features.files.uploads.lease import UploadLost
from portal.features.files.views import FileView

from ..conftest import CONTENT, MAX_BYTES, ORIGIN, ROW_BYTES, Bytes, House, away_meanwhile, found_out, refuse_events

Later = Callable[[timedelta], None]
Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("content_length", [None, ROW_BYTES + 1, MAX_BYTES])
async def test_what_is_not_known_to_be_small_lies_in_the_store(
    house: House, analyst: Principal, content_length: int | None
) -> None:
    content = bytes(content_length or 1)
    file = await house.hand_in(analyst, content, content_length=content_length)
    assert (await house.kept(), len(house.store.blobs)) == (1, 1)
    assert await house.fetch(analyst, file.id) == content


async def test_bytes_flow_under_a_lease_and_without_a_transaction(house: House, analyst: Principal) -> None:
    seen: list[Any] = []

    async def look() -> None:
        seen.append(house.connections())
        (row,) = await house.rows("files")
        seen.append(row["status"])
        async with house.database.read() as connection:
            page = await list_page(connection, Filters(), None, 10)
            expired = await repository.unsettled(connection, clock.now() + LEASE - timedelta(seconds=5), None, 10)
        seen.extend([page, expired, dict(house.store.blobs)])

    await house.hand_in(analyst, meanwhile=look)
    assert seen == [0, "pending", [], [], {}]


@pytest.mark.parametrize("error", [StorageFull(), StoreAway()], ids=["full", "away"])
@pytest.mark.parametrize("verb", ["create", "write", "commit", "committed"])
async def test_a_store_that_fails_leaves_nothing(
    house: House, analyst: Principal, verb: str, error: PortalError
) -> None:
    house.store.failing[verb] = error
    with pytest.raises(type(error)):
        await house.hand_in(analyst)
    await house.assert_nothing_is_kept(error.code)


async def test_a_store_that_is_away_for_good_leaves_the_rest_to_the_sweep(house: House, analyst: Principal) -> None:
    house.store.failing = {"committed": StoreAway(), "delete": StoreAway()}
    with pytest.raises(StoreAway):
        await house.hand_in(analyst)
    assert await house.statuses() == ["failed"]
    assert len(await house.rows("blobs")) == len(house.store.blobs) == 1
    house.store.failing = {}
    assert await house.maintenance.sweep() == 1
    await house.assert_nothing_is_kept("blob_store_away")


async def test_a_database_away_in_the_end_leaves_row_and_blob_to_the_sweep(
    house: House, analyst: Principal, later: Later
) -> None:
    with pytest.raises(DatabaseAway):
        await house.hand_in(analyst, meanwhile=lambda: away_meanwhile(house))
    await tasks.drain()  # the process ends before the database is back
    house.database.away = False
    assert (await house.statuses(), len(house.store.blobs)) == (["pending"], 1)
    assert await house.maintenance.sweep() == 0
    later(LEASE + timedelta(seconds=1))
    assert await house.maintenance.sweep() == 1
    await house.assert_nothing_is_kept("lease_expired")


async def test_a_commit_whose_answer_was_lost_keeps_the_file(house: House, analyst: Principal, later: Later) -> None:
    async def lose_answers() -> None:
        house.database.loses_answers = True

    with pytest.raises(DatabaseAway):
        await house.hand_in(analyst, meanwhile=lose_answers)
    house.database.loses_answers = False
    later(LEASE + timedelta(seconds=1))
    assert await house.maintenance.sweep() == 0
    (row,) = await house.rows("files")
    assert row["status"] == "ready"
    (page,) = (await house.catalog.list(analyst, Filters(), None, 10)).items
    assert await house.fetch(analyst, page.id) == CONTENT
    assert [event["event"] for event in await house.record("file.uploaded", "file.upload_failed")] == ["file.uploaded"]


async def test_a_store_away_as_well_leaves_the_bytes_to_the_sweep_and_frees_the_key(
    house: House, analyst: Principal
) -> None:
    async def lose_both() -> None:
        house.database.away = True
        house.store.failing["delete"] = StoreAway()

    with pytest.raises(DatabaseAway):
        await house.hand_in(analyst, key="once", meanwhile=lose_both)
    house.database.away = False
    await found_out()
    assert (await house.statuses(), len(house.store.blobs)) == (["failed"], 1)
    assert (await house.hand_in(analyst, b"something else", key="once")).status is Status.READY
    house.store.failing.clear()
    assert await house.maintenance.sweep() == 1
    assert (len(house.store.blobs), len(await house.rows("blobs"))) == (1, 1)


async def test_a_beginning_whose_commit_was_not_answered_is_given_up(house: House, analyst: Principal) -> None:
    house.database.loses_answers = True
    with pytest.raises(DatabaseAway):
        await house.hand_in(analyst, key="once")
    house.database.loses_answers = False
    await found_out()
    await house.assert_nothing_is_kept("database_away")
    assert (await house.hand_in(analyst, key="once")).status is Status.READY


async def test_a_database_that_stays_away_is_not_asked_for_ever(
    house: House, analyst: Principal, later: Later, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(cleanup, "_RETRY_SECONDS", 0)
    with pytest.raises(DatabaseAway):
        await house.hand_in(analyst, meanwhile=lambda: away_meanwhile(house))
    await found_out()
    house.database.away = False
    assert await house.statuses() == ["pending"]
    later(LEASE + timedelta(seconds=1))
    assert await house.maintenance.sweep() == 1


async def test_a_database_away_in_the_beginning_takes_nothing_in(house: House, analyst: Principal) -> None:
    house.database.away = True
    with pytest.raises(DatabaseAway):
        await house.hand_in(analyst)
    house.database.away = False
    assert (await house.rows("files"), house.store.blobs) == ([], {})


async def test_an_upload_that_a_sweep_took_is_lost_and_leaves_nothing(house: House, analyst: Principal) -> None:
    async def sweep() -> None:
        assert await house.maintenance.sweep(timedelta(0)) == 1

    with pytest.raises(UploadLost):
        await house.hand_in(analyst, meanwhile=sweep)
    await house.assert_nothing_is_kept("lease_expired")


async def test_an_upload_that_is_lost_stops_at_its_next_bytes(
    house: House, analyst: Principal, monkeypatch: Patch
) -> None:
    noticed, real = asyncio.Event(), repository.renew_lease

    async def renew(*arguments: Any) -> bool:
        held = await real(*arguments)
        if not held:
            noticed.set()
        return held

    async def sweep_and_wait() -> None:
        while not await house.maintenance.sweep(timedelta(0)):
            pass  # a renewal came between: the lease is younger than the sweep
        await noticed.wait()
        await asyncio.sleep(0)
        house.store.failing["write"] = AssertionError("went on")

    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)  # a sweep has its turn between two
    monkeypatch.setattr(repository, "renew_lease", renew)
    arrival = Bytes(meanwhile=sweep_and_wait)
    arrival.fails = AssertionError("read on")
    with pytest.raises(UploadLost):
        await house.intake.receive(analyst, arrival, ORIGIN)
    await house.assert_nothing_is_kept("lease_expired")


@pytest.mark.parametrize("committed", [False, True])
async def test_an_upload_cancelled_in_its_first_transaction_leaves_nothing(
    house: House, analyst: Principal, monkeypatch: Patch, *, committed: bool
) -> None:
    reached, real = asyncio.Event(), house.database.write

    @asynccontextmanager
    async def slow() -> AsyncIterator[Connection]:
        async with real() as connection:
            yield connection
            if not committed:
                await hang()
        await hang()

    async def hang() -> None:
        monkeypatch.setattr(house.database, "write", real)
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(house.database, "write", slow)
    upload = asyncio.create_task(house.hand_in(analyst))
    await reached.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await tasks.drain()
    if committed:
        await house.assert_nothing_is_kept("portal_stopped")
    else:
        assert (await house.statuses(), await house.rows("blobs"), await house.record()) == ([], [], [])


async def test_a_record_that_takes_nothing_leaves_the_upload_to_the_sweep(
    house: House, analyst: Principal, later: Later, monkeypatch: Patch
) -> None:
    with monkeypatch.context() as away:
        refuse_events(away, Unavailable(), "file.uploaded", "file.upload_failed")
        with pytest.raises(Unavailable):
            await house.hand_in(analyst)
    assert await house.statuses() == ["pending"]
    assert await house.record() == []
    later(LEASE + timedelta(seconds=1))
    await house.maintenance.sweep()
    await house.assert_nothing_is_kept("lease_expired")


async def test_the_lease_is_renewed_while_bytes_flow(house: House, analyst: Principal, monkeypatch: Patch) -> None:
    renewed, real = asyncio.Event(), repository.renew_lease

    async def renew(*arguments: Any) -> bool:
        done = await real(*arguments)
        renewed.set()
        return done

    monkeypatch.setattr(lease, "RENEW_SECONDS", 0)
    monkeypatch.setattr(repository, "renew_lease", renew)

    async def ends() -> Any:
        return (await house.rows("files"))[0]["lease_until"]

    async def watch() -> None:
        first = await ends()
        while await ends() == first:
            renewed.clear()
            await renewed.wait()
        assert await ends() > first

    file = await house.hand_in(analyst, meanwhile=watch)
    assert file.status is Status.READY


async def test_a_lease_that_cannot_be_renewed_for_a_while_is_renewed_after(
    house: House, analyst: Principal, monkeypatch: Patch
) -> None:
    answers: list[bool | Exception] = [DatabaseAway(), ZeroDivisionError(), True]
    asked = asyncio.Event()

    async def renew(*_: Any) -> bool:
        answer = answers.pop(0) if answers else True
        if not answers:
            asked.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(lease, "RENEW_SECONDS", 0)
    monkeypatch.setattr(repository, "renew_lease", renew)

    async def wait() -> None:
        await asked.wait()

    assert (await house.hand_in(analyst, meanwhile=wait)).status is Status.READY


async def test_nothing_is_renewed_once_an_upload_has_ended(
    house: House, analyst: Principal, monkeypatch: Patch
) -> None:
    before = asyncio.all_tasks()
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0)
    await house.hand_in(analyst)
    with pytest.raises(ClientGone):
        await house.hand_in(analyst, fails=ClientGone())
    left = {task.get_name() for task in asyncio.all_tasks() - before if not task.done()}
    assert left == set()


async def died(house: House, analyst: Principal) -> None:
    """An upload whose process is not there any more; only its lease says that someone is at it."""
    with pytest.raises(DatabaseAway):
        await house.hand_in(analyst, key="once", meanwhile=lambda: away_meanwhile(house))
    await tasks.drain()
    house.database.away = False


async def test_a_key_whose_upload_died_is_free_when_its_lease_is_over(
    house: House, analyst: Principal, later: Later
) -> None:
    await died(house, analyst)
    with pytest.raises(InFlight):
        await house.hand_in(analyst, key="once")
    later(LEASE + timedelta(seconds=1))
    file = await house.hand_in(analyst, key="once")
    assert await house.statuses() == ["failed", "ready"]
    failed, uploaded = await house.record()
    assert (failed["event"], failed["details"]) == ("file.upload_failed", {"reason": "lease_expired"})
    assert (failed["actor"], failed["request_id"]) == (analyst.actor, ORIGIN.request_id)
    assert uploaded["subject"] == str(file.id) != failed["subject"]
    assert await house.maintenance.sweep() == 1
    assert (len(house.store.blobs), len(await house.rows("blobs"))) == (1, 1)
    assert await house.fetch(analyst, file.id) == CONTENT


async def test_of_many_that_take_over_one_stands(house: House, analyst: Principal, later: Later) -> None:
    await died(house, analyst)
    later(LEASE + timedelta(seconds=1))
    several = await asyncio.gather(*(house.hand_in(analyst, key="once") for _ in range(6)), return_exceptions=True)
    assert len({file.id for file in several if isinstance(file, FileView)}) == 1
    assert all(isinstance(other, FileView | InFlight) for other in several)
    assert await house.statuses() == ["failed", "ready"]
    assert len(await house.record("file.upload_failed")) == 1


async def test_an_upload_that_another_took_over_is_lost_and_the_other_stands(
    house: House, analyst: Principal, later: Later
) -> None:
    taken: list[FileView] = []

    async def sleep_through_the_lease() -> None:
        later(LEASE + timedelta(seconds=1))
        taken.append(await house.hand_in(analyst, key="once"))

    with pytest.raises(UploadLost):
        await house.hand_in(analyst, key="once", meanwhile=sleep_through_the_lease)
    assert await house.fetch(analyst, taken[0].id) == CONTENT
    assert (await house.statuses(), len(house.store.blobs)) == (["failed", "ready"], 1)
