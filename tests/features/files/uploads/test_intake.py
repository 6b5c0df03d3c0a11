"""Intake: whatever goes wrong, at whatever stage, either the file stands whole and on record or nothing is kept."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NoReturn
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.backends.blobs.base import StoreAway
from portal.core import clock, tasks
from portal.core.errors import (
    ClientGone,
    DigestMismatch,
    Forbidden,
    InvalidInput,
    NotSignedIn,
    PortalError,
    Quarantined,
    StorageFull,
    TooLarge,
    Unavailable,
    Unprocessable,
)
from portal.core.principal import Principal, Role
from portal.db import lease
from portal.db.lease import LEASE
from portal.db.unit_of_work import DatabaseAway
from portal.features.audit import record
from portal.features.audit.events import Event
from portal.features.files import repository
from portal.features.files.listing import Filters, list_page
from portal.features.files.models import Kind, Status
from portal.features.files.uploads import cleanup
from portal.features.files.uploads.attempt import KeyReused, UploadGone
from portal.features.files.uploads.intake import InFlight
from portal.features.files.uploads.lease import UploadLost
from portal.features.files.views import Details, FileView
from portal.features.identity import repository as accounts
from portal.features.identity import session_rows

from ..conftest import CONTENT, MARKER, MAX_BYTES, ORIGIN, Bytes, House, found_out

Later = Callable[[timedelta], None]
Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("content", [b"", b"x", CONTENT, bytes(MAX_BYTES)], ids=len)
async def test_a_file_comes_in_and_stands_whole(house: House, analyst: Principal, content: bytes) -> None:
    file = await house.hand_in(analyst, content, said=Details(Kind.LOG, "what it is"))
    assert (file.status, file.verdict, file.version) == (Status.READY, "clean", 1)
    assert (file.name, file.kind, file.description) == ("evidence.bin", Kind.LOG, "what it is")
    assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (file.owner_id, file.scope, file.declared_type) == (analyst.user_id, "none", "application/x-test")
    assert await house.fetch(analyst, file.id) == content
    (row,) = await house.rows("files")
    assert row["lease_until"] is None


async def test_an_upload_is_on_record_with_who_what_and_whence(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    (event,) = await house.record()
    assert (event["event"], event["actor"], event["subject"]) == ("file.uploaded", analyst.actor, str(file.id))
    assert (event["request_id"], event["address"]) == (ORIGIN.request_id, ORIGIN.address)
    assert event["details"] == {"sha256": file.sha256, "size": file.size, "status": "ready", "case_id": None}


async def test_what_is_stored_is_not_what_came(house: House, analyst: Principal) -> None:
    content = b"plaintext that must not rest anywhere " * 20
    await house.hand_in(analyst, content)
    (blob,) = house.store.blobs.values()
    assert b"plaintext" not in blob
    assert len(blob) > len(content)


async def test_the_announced_digest_may_be_right(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst, said=Details(sha256=hashlib.sha256(CONTENT).digest()))
    assert file.status is Status.READY


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


ARRIVALS: dict[str, tuple[Bytes, type[PortalError], str]] = {
    "the client left": (Bytes(fails=ClientGone()), ClientGone, "client_gone"),
    "the client left at once": (Bytes(b"", fails=ClientGone()), ClientGone, "client_gone"),
    "the door counted too much": (Bytes(fails=TooLarge()), TooLarge, "too_large"),
    "a byte over the limit": (Bytes(bytes(MAX_BYTES + 1)), TooLarge, "too_large"),
    "the form broke off": (Bytes(fails=InvalidInput()), InvalidInput, "invalid_input"),
    "another digest": (Bytes(said=Details(sha256=bytes(32))), DigestMismatch, "digest_mismatch"),
}


@pytest.mark.parametrize(("arrival", "error", "reason"), ARRIVALS.values(), ids=ARRIVALS)
async def test_an_arrival_that_fails_leaves_nothing(
    house: House, analyst: Principal, arrival: Bytes, error: type[PortalError], reason: str
) -> None:
    with pytest.raises(error):
        await house.intake.receive(analyst, arrival, ORIGIN)
    await house.assert_nothing_is_kept(reason)


async def test_details_that_are_refused_after_the_bytes_leave_nothing(house: House, analyst: Principal) -> None:
    class Refused(Bytes):
        async def details(self) -> NoReturn:
            raise Unprocessable("kind is no kind.")

    with pytest.raises(Unprocessable):
        await house.intake.receive(analyst, Refused(), ORIGIN)
    await house.assert_nothing_is_kept("unprocessable")


async def test_a_bug_in_the_source_leaves_nothing(house: House, analyst: Principal) -> None:
    with pytest.raises(ZeroDivisionError):
        await house.hand_in(analyst, fails=ZeroDivisionError())
    await house.assert_nothing_is_kept("ZeroDivisionError")


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


async def away_meanwhile(house: House) -> None:
    house.database.away = True


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


@pytest.mark.parametrize("fails", [None, ClientGone()], ids=["to its end", "the client left"])
async def test_once_the_database_is_back_what_is_over_is_given_up_and_its_key_is_free(
    house: House, analyst: Principal, fails: Exception | None, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(cleanup, "_ASK_SECONDS", 0)
    error, reason = (DatabaseAway, "database_away") if fails is None else (ClientGone, "client_gone")
    with pytest.raises(error):
        await house.hand_in(analyst, key="once", meanwhile=lambda: away_meanwhile(house), fails=fails)
    for _ in range(3):
        await asyncio.sleep(0)
    house.database.away = False
    await found_out()
    await house.assert_nothing_is_kept(reason)
    assert (await house.hand_in(analyst, b"something else", key="once")).status is Status.READY


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


async def test_a_file_whose_commit_was_not_answered_is_the_one_its_key_brings(house: House, analyst: Principal) -> None:
    async def lose_answers() -> None:
        house.database.loses_answers = True

    with pytest.raises(DatabaseAway):
        await house.hand_in(analyst, key="once", meanwhile=lose_answers)
    house.database.loses_answers = False
    await found_out()
    again = await house.hand_in(analyst, key="once")
    assert await house.fetch(analyst, again.id) == CONTENT
    assert (await house.statuses(), len(house.store.blobs)) == (["ready"], 1)


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
    monkeypatch.setattr(cleanup, "_ASK_SECONDS", 0)
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


async def revoke(house: House, principal: Principal) -> None:
    async with house.database.write() as connection:
        await session_rows.revoke(connection, principal.credential_id, clock.now())


async def demote(house: House, principal: Principal) -> None:
    await house.execute("UPDATE users SET role = 'auditor' WHERE name = :name", name=await name_of(house, principal))


async def end_epoch(house: House, principal: Principal) -> None:
    await house.execute("UPDATE users SET epoch = 2 WHERE name = :name", name=await name_of(house, principal))


async def name_of(house: House, principal: Principal) -> str:
    async with house.database.read() as connection:
        user = await accounts.user_by_id(connection, principal.user_id)
    assert user is not None
    return user.name


Change = Callable[[House, Principal], Awaitable[None]]


@pytest.mark.parametrize(
    ("change", "error"),
    [(revoke, NotSignedIn), (end_epoch, NotSignedIn), (demote, Forbidden)],
    ids=lambda x: x.__name__,
)
async def test_a_right_lost_during_the_upload_leaves_nothing(
    house: House, analyst: Principal, change: Change, error: type[PortalError]
) -> None:
    with pytest.raises(error):
        await house.hand_in(analyst, meanwhile=lambda: change(house, analyst))
    await house.assert_nothing_is_kept(error.code)


async def test_who_may_not_hand_in_begins_nothing(house: House) -> None:
    auditor = await house.principal(Role.AUDITOR)
    with pytest.raises(Forbidden):
        await house.hand_in(auditor)
    assert await house.rows("files") == await house.record() == []


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


async def test_a_cancelled_upload_leaves_nothing(house: House, analyst: Principal) -> None:
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(house.hand_in(analyst, meanwhile=hang))
    await reached.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await tasks.drain()
    await house.assert_nothing_is_kept("CancelledError")


@pytest.mark.parametrize("committed", [False, True])
async def test_an_upload_cancelled_in_its_first_transaction_leaves_nothing(
    house: House, analyst: Principal, monkeypatch: Patch, *, committed: bool
) -> None:
    reached, real = asyncio.Event(), house.database.write

    @asynccontextmanager
    async def slow() -> AsyncIterator[AsyncConnection]:
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
        await house.assert_nothing_is_kept("CancelledError")
    else:
        assert (await house.statuses(), await house.rows("blobs"), await house.record()) == ([], [], [])


@pytest.mark.parametrize("verb", ["store_part", "finish"])
async def test_an_upload_cancelled_in_its_last_transaction_stands_or_leaves_nothing(
    house: House, analyst: Principal, verb: str, monkeypatch: Patch
) -> None:
    reached, gate, real = asyncio.Event(), asyncio.Event(), getattr(repository, verb)

    async def slow(*arguments: Any) -> Any:
        done = await real(*arguments)
        reached.set()
        await gate.wait()
        return done

    monkeypatch.setattr(repository, verb, slow)
    upload = asyncio.create_task(house.hand_in(analyst))
    await reached.wait()
    upload.cancel()
    await asyncio.sleep(0)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await tasks.drain()
    events = [event["event"] for event in await house.record()]
    if events == ["file.uploaded"]:
        assert (await house.statuses(), len(house.store.blobs)) == (["ready"], 1)
    else:
        await house.assert_nothing_is_kept("CancelledError")
    assert verb == "store_part" or events == ["file.uploaded"]  # after the compare-and-set the upload has won


def refuse_events(monkeypatch: Patch, error: Exception, *kinds: str) -> None:
    """The record refuses these kinds of event."""
    real = record.write

    async def write(connection: AsyncConnection, event: Event) -> None:
        if event.kind in kinds:
            raise error
        await real(connection, event)

    monkeypatch.setattr(record, "write", write)


@pytest.mark.parametrize("error", [Unavailable(), ZeroDivisionError()], ids=["away", "a bug"])
async def test_an_upload_that_cannot_be_put_on_record_did_not_happen(
    house: House, analyst: Principal, error: Exception, monkeypatch: Patch
) -> None:
    refuse_events(monkeypatch, error, "file.uploaded")
    with pytest.raises(type(error)):
        await house.hand_in(analyst)
    await house.assert_nothing_is_kept(getattr(error, "code", type(error).__name__))


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


async def test_what_the_scanner_finds_is_kept_listed_and_not_delivered(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst, b"x" * 295 + MARKER.encode() + b"y" * 100)
    assert (file.status, file.verdict, file.verdict_detail) == (Status.QUARANTINED, "infected", "marker")
    assert len(house.store.blobs) == 1
    assert [item.id for item in (await house.catalog.list(analyst, Filters(), None, 10)).items] == [file.id]
    with pytest.raises(Quarantined):
        await house.fetch(analyst, file.id)
    (event,) = await house.record()
    assert event["details"]["status"] == "quarantined"


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


async def test_the_same_key_and_file_again_brings_the_same_file(house: House, analyst: Principal) -> None:
    first = await house.hand_in(analyst, key="once")
    again = await house.hand_in(analyst, key="once")
    assert again == first
    assert (await house.statuses(), len(house.store.blobs), len(await house.record())) == (["ready"], 1, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"content": CONTENT + b"x"},
        {"name": "another.bin"},
        {"declared_type": "text/plain"},
        {"said": Details(Kind.LOG)},
        {"said": Details(description="another")},
    ],
    ids=["content", "name", "declared type", "kind", "description"],
)
async def test_a_key_is_bound_to_everything_that_was_said(
    house: House, analyst: Principal, other: dict[str, Any]
) -> None:
    await house.hand_in(analyst, key="once")
    with pytest.raises(KeyReused):
        await house.hand_in(analyst, key="once", **other)
    assert (await house.statuses(), len(house.store.blobs)) == (["ready"], 1)


async def test_a_repeated_upload_announcing_another_digest_is_refused(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst, key="once")
    with pytest.raises(DigestMismatch):
        await house.hand_in(analyst, key="once", said=Details(sha256=bytes(32)))
    assert await house.statuses() == ["ready"]


async def test_a_key_belongs_to_its_owner(house: House, analyst: Principal) -> None:
    other = await house.principal()
    first = await house.hand_in(analyst, key="once")
    second = await house.hand_in(other, b"something else", key="once")
    assert first.id != second.id


async def test_two_uploads_without_a_key_are_two_files(house: House, analyst: Principal) -> None:
    assert (await house.hand_in(analyst)).id != (await house.hand_in(analyst)).id


async def test_a_key_in_flight_is_a_conflict_and_the_first_one_stands(house: House, analyst: Principal) -> None:
    refused: list[FileView] = []

    async def again() -> None:
        with pytest.raises(InFlight):
            refused.append(await house.hand_in(analyst, key="once"))

    file = await house.hand_in(analyst, key="once", meanwhile=again)
    assert (file.status, refused) == (Status.READY, [])
    assert await house.statuses() == ["ready"]


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


async def test_a_key_whose_upload_failed_is_free_again(house: House, analyst: Principal) -> None:
    with pytest.raises(ClientGone):
        await house.hand_in(analyst, key="once", fails=ClientGone())
    assert (await house.hand_in(analyst, b"something else", key="once")).status is Status.READY


async def test_a_key_whose_file_was_deleted_makes_nothing_anew(house: House, analyst: Principal) -> None:
    first = await house.hand_in(analyst, key="once")
    await house.catalog.delete(analyst, first.id, None, ORIGIN)
    with pytest.raises(UploadGone):
        await house.hand_in(analyst, key="once")
    assert await house.statuses() == ["deleted"]


async def test_of_many_with_one_key_at_once_one_file_stands(house: House, analyst: Principal) -> None:
    several = await asyncio.gather(*(house.hand_in(analyst, key="once") for _ in range(6)), return_exceptions=True)
    files = [file.id for file in several if isinstance(file, FileView)]
    assert len(set(files)) == 1
    assert all(isinstance(other, InFlight) for other in several if not isinstance(other, FileView))
    assert (await house.statuses(), len(house.store.blobs)) == (["ready"], 1)


async def test_many_at_once_all_stand(house: House, analyst: Principal) -> None:
    contents = [bytes([number]) * 700 for number in range(12)]
    files = await asyncio.gather(*(house.hand_in(analyst, content) for content in contents))
    assert [await house.fetch(analyst, file.id) for file in files] == contents
    assert len({key for row in await house.rows("data_keys") for key in [UUID(str(row["id"]))]}) == 1


async def test_every_seal_has_a_key_of_its_own(house: House, analyst: Principal) -> None:
    first = await house.deliveries.start(analyst, (await house.hand_in(analyst)).id, ORIGIN)
    second = await house.deliveries.start(analyst, (await house.hand_in(analyst)).id, ORIGIN)
    rows = await house.rows("blobs")
    assert len({bytes(row["wrapped_key"]) for row in rows}) == len({bytes(row["commitment"]) for row in rows}) == 2
    for delivery in (first, second):
        await delivery.chunks.aclose()
