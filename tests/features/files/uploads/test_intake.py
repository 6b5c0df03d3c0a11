"""Intake, of files that lie in their rows and of files that lie in the store: one table of what may go wrong.

Whatever goes wrong, at whatever stage, either the file stands whole and on record or nothing is kept.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, NoReturn
from uuid import UUID

import pytest

from portal.backends.scanners.base import ScannerAway
from portal.core import clock, tasks
from portal.core.errors import (
    ClientGone,
    Forbidden,
    InvalidInput,
    NotFound,
    NotSignedIn,
    PortalError,
    TooLarge,
    Unavailable,
    Unprocessable,
)
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.db.unit_of_work import DatabaseAway
from portal.features.authz.policy import CaseReadOnly
from portal.features.authz.relation import CaseStatus
from portal.features.cases.catalog import CaseChanges
from portal.features.files import blob_rows, repository
from portal.features.files.access import Quarantined
from portal.features.files.listing import Filters
from portal.features.files.models import FileKind, Status
from portal.features.files.uploads import cleanup
from portal.features.files.uploads.attempt import DigestMismatch, KeyReused, UploadGone
from portal.features.files.uploads.decision import ContentRejected
from portal.features.files.uploads.intake import InFlight
from portal.features.files.views import Details, FileView
from portal.features.identity import repository as accounts
from portal.features.identity import session_rows

from ..conftest import (
    CONTENT,
    MARKER,
    MAX_BYTES,
    ORIGIN,
    ROW_BYTES,
    Bytes,
    House,
    away_meanwhile,
    blob_of,
    found_out,
    refuse_events,
)

Later = Callable[[timedelta], None]
Patch = pytest.MonkeyPatch


@pytest.fixture(params=["in the store", "in the row"], autouse=True)
def announces(request: pytest.FixtureRequest, house: House) -> bool:
    """Each test is of both kinds of file; `hand_in` announces the length of those that lie in their rows."""
    house.announces = request.param == "in the row"
    return house.announces


@pytest.mark.parametrize("content", [b"", b"x", CONTENT, bytes(ROW_BYTES)], ids=len)
async def test_a_file_comes_in_and_stands_whole(house: House, analyst: Principal, content: bytes) -> None:
    file = await house.hand_in(analyst, content, said=Details(FileKind.LOG, "what it is"))
    assert (file.status, file.verdict, file.version) == (Status.READY, "clean", 1)
    assert (file.name, file.kind, file.description) == ("evidence.bin", FileKind.LOG, "what it is")
    assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (file.owner_id, file.scope, file.declared_type) == (analyst.user_id, "none", "application/x-test")
    assert await house.found(file.id) == file  # what was answered is what a reader is told
    assert [row["store"] == "row" for row in await house.rows("blobs")] == [house.announces]
    assert await house.fetch(analyst, file.id) == content
    (row,) = await house.rows("files")
    assert row["lease_until"] is None


async def test_an_upload_is_on_record_with_who_what_and_whence(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    (event,) = await house.record()
    assert (event["event"], event["actor"], event["subject"]) == ("file.uploaded", analyst.actor, str(file.id))
    assert (event["request_id"], event["address"]) == (ORIGIN.request_id, ORIGIN.address)
    assert event["details"] == {"sha256": file.sha256, "size": file.size, "status": "ready", "case_id": None}


async def test_what_is_kept_is_not_what_came(house: House, analyst: Principal) -> None:
    content = b"plaintext that must not rest anywhere " * 20
    await house.hand_in(analyst, content)
    (row,) = await house.rows("blobs")
    blob = row["content"] or house.store.blobs[blob_of(house)]
    assert b"plaintext" not in blob
    assert len(blob) > len(content)


async def test_the_announced_digest_may_be_right(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst, said=Details(sha256=hashlib.sha256(CONTENT).digest()))
    assert file.status is Status.READY


ARRIVALS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "the client left": ({"fails": ClientGone()}, ClientGone, "client_gone"),
    "the client left at once": ({"content": b"", "fails": ClientGone()}, ClientGone, "client_gone"),
    "the door counted too much": ({"fails": TooLarge()}, TooLarge, "too_large"),
    "a byte over the limit": ({"content": bytes(MAX_BYTES + 1), "content_length": None}, TooLarge, "too_large"),
    "more than was announced": ({"content": bytes(ROW_BYTES + 1), "content_length": 1}, TooLarge, "too_large"),
    "the form broke off": ({"fails": InvalidInput()}, InvalidInput, "invalid_input"),
    "another digest": ({"said": Details(sha256=bytes(32))}, DigestMismatch, "digest_mismatch"),
    "a bug": ({"fails": ZeroDivisionError()}, ZeroDivisionError, "ZeroDivisionError"),
}


@pytest.mark.parametrize(("arrival", "error", "reason"), ARRIVALS.values(), ids=ARRIVALS)
async def test_an_arrival_that_fails_leaves_nothing(
    house: House, analyst: Principal, arrival: dict[str, Any], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error):
        await house.hand_in(analyst, **arrival)
    await house.assert_nothing_is_kept(reason)


async def test_details_that_are_refused_after_the_bytes_leave_nothing(house: House, analyst: Principal) -> None:
    class Refused(Bytes):
        async def details(self) -> NoReturn:
            raise Unprocessable("kind is no kind.")

    content_length = len(CONTENT) if house.announces else None
    with pytest.raises(Unprocessable):
        await house.intake.receive(analyst, Refused(content_length=content_length), ORIGIN)
    await house.assert_nothing_is_kept("unprocessable")


async def test_what_the_scanner_finds_is_kept_listed_and_not_delivered(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst, b"x" * 295 + MARKER.encode() + b"y" * 100)
    assert (file.status, file.verdict, file.verdict_detail) == (Status.QUARANTINED, "infected", "marker")
    assert await house.kept() == 1
    assert [item.id for item in (await house.catalog.list(analyst, Filters(), None, 10)).items] == [file.id]
    with pytest.raises(Quarantined):
        await house.fetch(analyst, file.id)
    (event,) = await house.record()
    assert event["details"]["status"] == "quarantined"


async def test_what_a_policy_rejects_leaves_nothing_but_its_record(house: House, analyst: Principal) -> None:
    content = b"x" * 295 + MARKER.encode() + b"y" * 100
    arrival = Bytes(content, content_length=len(content) if house.announces else None)
    with pytest.raises(ContentRejected) as refused:
        await house.intake_with(infected=Status.REJECTED).receive(analyst, arrival, ORIGIN, idempotency_key="once")
    assert (refused.value.status, refused.value.code) == (422, "content_rejected")
    assert MARKER not in str(refused.value)
    assert (await house.statuses(), await house.kept()) == (["rejected"], 0)
    (event,) = await house.record()
    assert (event["event"], event["actor"], event["request_id"]) == ("file.rejected", analyst.actor, ORIGIN.request_id)
    digest = hashlib.sha256(content).hexdigest()
    found = {"reason": "infected", "found": "marker", "sha256": digest, "size": len(content), "case_id": None}
    assert event["details"] == found
    assert (await house.hand_in(analyst, b"something else", key="once")).status is Status.READY


@pytest.mark.parametrize("stops", [False, True], ids=["the database comes back", "the process stops before"])
async def test_a_rejection_is_on_record_once_though_the_database_was_away(
    house: House, analyst: Principal, monkeypatch: Patch, *, stops: bool
) -> None:
    monkeypatch.setattr(cleanup, "_RETRY_SECONDS", 0)
    content = MARKER.encode()
    arrival = Bytes(content, content_length=len(content) if house.announces else None)
    arrival.meanwhile = lambda: away_meanwhile(house)
    with pytest.raises(ContentRejected):
        await house.intake_with(infected=Status.REJECTED).receive(analyst, arrival, ORIGIN)
    if stops:
        await tasks.drain()
    house.database.away = False
    await found_out()
    await house.recorder.replay()
    assert [event["event"] for event in await house.record()] == ["file.rejected"]
    assert (await house.statuses() == ["rejected"]) is not stops


async def test_a_policy_that_rejects_takes_what_is_clean(house: House, analyst: Principal) -> None:
    arrival = Bytes(content_length=len(CONTENT) if house.announces else None)
    file = await house.intake_with(infected=Status.REJECTED).receive(analyst, arrival, ORIGIN)
    assert await house.fetch(analyst, file.id) == CONTENT


@pytest.mark.parametrize("call", ["feed", "finish"])
async def test_a_scanner_that_is_away_refuses_the_upload(house: House, analyst: Principal, call: str) -> None:
    house.scanner.failing[call] = ScannerAway()
    with pytest.raises(ScannerAway):
        await house.hand_in(analyst, key="once")
    assert house.scanner.aborted == 1
    await house.assert_nothing_is_kept("scanner_away")
    house.scanner.failing.clear()
    assert (await house.hand_in(analyst, key="once")).status is Status.READY


@pytest.mark.parametrize("call", ["feed", "finish"])
async def test_where_no_scan_is_required_what_was_not_scanned_is_kept_and_not_delivered(
    house: House, analyst: Principal, call: str
) -> None:
    house.scanner.failing[call] = ScannerAway()
    arrival = Bytes(content_length=len(CONTENT) if house.announces else None)
    file = await house.intake_with(scan_required=False).receive(analyst, arrival, ORIGIN)
    assert (file.status, file.verdict, await house.kept()) == (Status.QUARANTINED, "scanner_away", 1)
    with pytest.raises(Quarantined):
        await house.fetch(analyst, file.id)


@pytest.mark.parametrize("error", [Unavailable(), ZeroDivisionError()], ids=["away", "a bug"])
async def test_an_upload_that_cannot_be_put_on_record_did_not_happen(
    house: House, analyst: Principal, error: Exception, monkeypatch: Patch
) -> None:
    refuse_events(monkeypatch, error, "file.uploaded")
    with pytest.raises(type(error)):
        await house.hand_in(analyst)
    await house.assert_nothing_is_kept(getattr(error, "code", type(error).__name__))


@pytest.mark.parametrize("fails", [None, ClientGone()], ids=["to its end", "the client left"])
async def test_once_the_database_is_back_what_is_over_is_given_up_and_its_key_is_free(
    house: House, analyst: Principal, fails: Exception | None, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(cleanup, "_RETRY_SECONDS", 0)
    error, reason = (DatabaseAway, "database_away") if fails is None else (ClientGone, "client_gone")
    with pytest.raises(error):
        await house.hand_in(analyst, key="once", meanwhile=lambda: away_meanwhile(house), fails=fails)
    for _ in range(3):
        await asyncio.sleep(0)
    house.database.away = False
    await found_out()
    await house.assert_nothing_is_kept(reason)
    assert (await house.hand_in(analyst, b"something else", key="once")).status is Status.READY


async def test_a_file_whose_commit_was_not_answered_is_the_one_its_key_brings(house: House, analyst: Principal) -> None:
    async def lose_answers() -> None:
        house.database.loses_answers = True

    with pytest.raises(DatabaseAway):
        await house.hand_in(analyst, key="once", meanwhile=lose_answers)
    house.database.loses_answers = False
    await found_out()
    again = await house.hand_in(analyst, key="once")
    assert await house.fetch(analyst, again.id) == CONTENT
    assert (await house.statuses(), await house.kept()) == (["ready"], 1)
    assert [told["event"] for told in await house.record("file.uploaded", "file.upload_failed")] == ["file.uploaded"]


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


class Unread(Bytes):
    """Its bytes are for nobody."""

    def chunks(self) -> AsyncIterator[bytes]:
        raise AssertionError("a byte was asked for")


async def test_a_case_that_is_not_there_is_told_before_a_byte_is_read_or_a_key_is_made(
    house: House, analyst: Principal
) -> None:
    others = (await house.open_case(await house.principal())).id
    for case_id in (others, new_id()):
        with pytest.raises(NotFound):
            await house.intake.receive(
                analyst, Unread(content_length=1 if house.announces else None, case_id=case_id), ORIGIN
            )
    assert [await house.rows(table) for table in ("files", "blobs", "data_keys")] == [[], [], []]
    assert await house.record("file.upload_failed") == []


async def test_a_case_that_closes_meanwhile_takes_nothing(house: House, analyst: Principal) -> None:
    case = await house.open_case(analyst)

    async def close() -> None:
        changes = CaseChanges(status=CaseStatus.CLOSED)
        await house.cases.register.update(analyst, case.id, None, changes, ORIGIN)

    with pytest.raises(CaseReadOnly):
        await house.hand_in(analyst, case_id=case.id, meanwhile=close)
    assert (await house.statuses(), await house.kept()) == (["failed"], 0)


async def test_what_is_counted_with_it_is_in_its_transaction(house: House, analyst: Principal) -> None:
    async def refuse(_: Any, view: FileView) -> None:
        assert view.size == len(CONTENT)
        raise NotFound

    content_length = len(CONTENT) if house.announces else None
    with pytest.raises(NotFound):
        await house.intake.receive(analyst, Bytes(content_length=content_length), ORIGIN, counted=refuse)
    await house.assert_nothing_is_kept("not_found")


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
    await house.assert_nothing_is_kept("portal_stopped")


@pytest.mark.parametrize("last", [False, True])
async def test_an_upload_cancelled_in_its_last_transaction_stands_or_leaves_nothing(
    house: House, analyst: Principal, monkeypatch: Patch, *, last: bool
) -> None:
    verb = "add_part" if house.announces else "finish" if last else "store_part"
    rows = repository if verb == "finish" else blob_rows
    reached, gate, real = asyncio.Event(), asyncio.Event(), getattr(rows, verb)

    async def slow(*arguments: Any) -> Any:
        done = await real(*arguments)
        reached.set()
        await gate.wait()
        return done

    monkeypatch.setattr(rows, verb, slow)
    upload = asyncio.create_task(house.hand_in(analyst))
    await reached.wait()
    upload.cancel()
    for _ in range(100):  # what gives it up is under way, and has to wait
        await asyncio.sleep(0)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await tasks.drain()
    events = [event["event"] for event in await house.record()]
    if events == ["file.uploaded"]:
        assert (await house.statuses(), await house.kept()) == (["ready"], 1)
    else:
        await house.assert_nothing_is_kept("portal_stopped")
    assert verb == "store_part" or events == ["file.uploaded"]  # after the compare-and-set the upload has won


@pytest.mark.parametrize("first_announced", [None, len(CONTENT)])
async def test_the_same_key_and_file_again_brings_the_same_file(
    house: House, analyst: Principal, first_announced: int | None
) -> None:
    first = await house.hand_in(analyst, key="once", content_length=first_announced)
    again = await house.hand_in(analyst, key="once")
    assert again == first
    assert (await house.statuses(), await house.kept(), len(await house.record())) == (["ready"], 1, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"content": CONTENT + b"x"},
        {"name": "another.bin"},
        {"declared_type": "text/plain"},
        {"said": Details(FileKind.LOG)},
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
    assert (await house.statuses(), await house.kept()) == (["ready"], 1)


async def test_a_repeated_upload_announcing_another_digest_is_refused(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst, key="once")
    with pytest.raises(DigestMismatch):
        await house.hand_in(analyst, key="once", said=Details(sha256=bytes(32)))
    assert (await house.found(file.id), await house.kept()) == (file, 1)


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

    file = await house.hand_in(analyst, key="once", meanwhile=again, content_length=None)
    assert (file.status, refused) == (Status.READY, [])
    assert await house.statuses() == ["ready"]


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
    assert (await house.statuses(), await house.kept()) == (["ready"], 1)


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
