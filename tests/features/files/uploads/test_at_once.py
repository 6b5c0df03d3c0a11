"""Small files: taken in at once, they lie sealed in their rows, and every other part of the portal finds them there."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import event

from portal.core import tasks
from portal.core.errors import (
    ClientGone,
    DigestMismatch,
    IntegrityError,
    InvalidInput,
    NotFound,
    NotSignedIn,
    Quarantined,
    StorageFull,
    TooLarge,
    Unprocessable,
)
from portal.core.ids import new_id
from portal.core.principal import Principal
from portal.core.ranges import RangeRequest
from portal.crypto.blob import PREAMBLE_SIZE
from portal.db.unit_of_work import DatabaseAway
from portal.features.authz.policy import CaseReadOnly
from portal.features.authz.relation import CaseRole, CaseStatus
from portal.features.cases.catalog import CaseChanges
from portal.features.files import repository
from portal.features.files.models import Kind, Status
from portal.features.files.uploads.attempt import KeyReused
from portal.features.files.uploads.intake import InFlight, Intake
from portal.features.files.views import Details, FileView

from ..conftest import CONTENT, MARKER, ORIGIN, ROW_BYTES, Bytes, House, found_out

Patch = pytest.MonkeyPatch


def small(content: bytes = CONTENT, **said: Any) -> Bytes:
    """An arrival whose length is announced."""
    return Bytes(content, content_length=len(content), **said)


async def hand_in(house: House, owner: Principal, content: bytes = CONTENT, **said: Any) -> FileView:
    key = said.pop("key", None)
    return await house.intake.receive(owner, small(content, **said), ORIGIN, idempotency_key=key)


async def contents(house: House) -> list[bytes | None]:
    return [row["content"] for row in await house.rows("blobs")]


@pytest.mark.parametrize("content", [b"", b"x", CONTENT, bytes(ROW_BYTES)], ids=len)
async def test_a_small_file_comes_in_and_stands_whole(house: House, analyst: Principal, content: bytes) -> None:
    file = await hand_in(house, analyst, content, said=Details(Kind.LOG, "what it is"))
    assert (file.status, file.verdict, file.version) == (Status.READY, "clean", 1)
    assert (file.name, file.kind, file.description) == ("evidence.bin", Kind.LOG, "what it is")
    assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (file.owner_id, file.scope, file.declared_type) == (analyst.user_id, "none", "application/x-test")
    assert await house.found(file.id) == file  # what was answered is what a reader is told
    assert [row["store"] for row in await house.rows("blobs")] == ["row"]
    assert await house.fetch(analyst, file.id) == content


async def test_a_small_file_lies_in_its_row_and_in_no_store(house: House, analyst: Principal) -> None:
    house.store.failing = dict.fromkeys(("create", "write", "commit", "get", "stat"), ZeroDivisionError())
    file = await hand_in(house, analyst)
    (row,) = await house.rows("blobs")
    assert (row["store"], len(row["content"])) == ("row", row["stored_length"])
    assert await house.fetch(analyst, file.id) == CONTENT
    await house.catalog.delete(analyst, file.id, None, ORIGIN)
    assert (await house.rows("blobs"), await house.statuses()) == ([], ["deleted"])


async def test_what_lies_in_the_row_is_not_what_came(house: House, analyst: Principal) -> None:
    await hand_in(house, analyst, b"plaintext that must not rest anywhere " * 20)
    (content,) = await contents(house)
    assert content is not None
    assert b"plaintext" not in content


@pytest.mark.parametrize(
    "arrival",
    [Bytes(), Bytes(content_length=ROW_BYTES + 1), small(bytes(ROW_BYTES + 1))],
    ids=["not announced", "announced as more", "more"],
)
async def test_what_is_not_known_to_be_small_lies_in_the_store(
    house: House, analyst: Principal, arrival: Bytes
) -> None:
    file = await house.intake.receive(analyst, arrival, ORIGIN)
    assert (await contents(house), len(house.store.blobs)) == ([None], 1)
    assert await house.fetch(analyst, file.id) == arrival.content


async def test_one_transaction_takes_it_in(house: House, analyst: Principal) -> None:
    await hand_in(house, analyst)  # the scope has its key now
    commits: list[str] = []
    event.listen(house.database.engine.sync_engine, "commit", lambda _: commits.append("commit"))
    await hand_in(house, analyst)
    assert commits == ["commit"]


async def test_it_is_on_record_with_who_what_and_whence(house: House, analyst: Principal) -> None:
    file = await hand_in(house, analyst)
    (told,) = await house.record()
    assert (told["event"], told["actor"], told["subject"]) == ("file.uploaded", analyst.actor, str(file.id))
    assert (told["request_id"], told["address"]) == (ORIGIN.request_id, ORIGIN.address)
    assert told["details"] == {"sha256": file.sha256, "size": file.size, "status": "ready", "case_id": None}


ARRIVALS: dict[str, tuple[Bytes, type[Exception], str]] = {
    "the client left": (small(fails=ClientGone()), ClientGone, "client_gone"),
    "the client left at once": (small(b"", fails=ClientGone()), ClientGone, "client_gone"),
    "the door counted too much": (small(fails=TooLarge()), TooLarge, "too_large"),
    "it is more than fits a row": (Bytes(bytes(ROW_BYTES + 1), content_length=1), TooLarge, "too_large"),
    "the form broke off": (small(fails=InvalidInput()), InvalidInput, "invalid_input"),
    "another digest": (small(said=Details(sha256=bytes(32))), DigestMismatch, "digest_mismatch"),
    "a bug": (small(fails=ZeroDivisionError()), ZeroDivisionError, "ZeroDivisionError"),
}


@pytest.mark.parametrize(("arrival", "error", "reason"), ARRIVALS.values(), ids=ARRIVALS)
async def test_an_arrival_that_fails_leaves_only_its_record(
    house: House, analyst: Principal, arrival: Bytes, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error):
        await house.intake.receive(analyst, arrival, ORIGIN)
    await house.assert_nothing_is_kept(reason)


async def test_details_that_are_refused_leave_only_their_record(house: House, analyst: Principal) -> None:
    class Refused(Bytes):
        async def details(self) -> Details:
            raise Unprocessable("kind is no kind.")

    with pytest.raises(Unprocessable):
        await house.intake.receive(analyst, Refused(content_length=len(CONTENT)), ORIGIN)
    await house.assert_nothing_is_kept("unprocessable")


async def test_what_the_scanner_finds_is_kept_and_not_delivered(house: House, analyst: Principal) -> None:
    file = await hand_in(house, analyst, b"x" * 100 + MARKER.encode())
    assert (file.status, file.verdict, file.verdict_detail) == (Status.QUARANTINED, "infected", "marker")
    with pytest.raises(Quarantined):
        await house.fetch(analyst, file.id)


async def test_a_right_that_ends_meanwhile_ends_the_upload(house: House, analyst: Principal) -> None:
    async def sign_out() -> None:
        await house.sessions.sign_out(analyst, ORIGIN)

    with pytest.raises(NotSignedIn):
        await hand_in(house, analyst, meanwhile=sign_out)
    assert (await house.statuses(), await house.rows("blobs")) == (["failed"], [])
    assert [told["details"] for told in await house.record("file.upload_failed")] == [{"reason": "not_signed_in"}]


class Unread(Bytes):
    """Nobody may ask for its bytes."""

    def chunks(self) -> AsyncIterator[bytes]:
        raise AssertionError("a byte was asked for")


async def test_a_case_that_is_not_there_is_told_before_a_byte_is_read_or_a_key_is_made(
    house: House, analyst: Principal
) -> None:
    others = (await house.open_case(await house.principal())).id
    for case_id in (others, new_id()):
        with pytest.raises(NotFound):
            await house.intake.receive(analyst, Unread(content_length=1, case_id=case_id), ORIGIN)
    assert [await house.rows(table) for table in ("files", "blobs", "data_keys")] == [[], [], []]
    assert await house.record("file.upload_failed") == []


async def test_a_case_that_closes_meanwhile_takes_nothing(house: House, analyst: Principal) -> None:
    case = await house.open_case(analyst)

    async def close() -> None:
        changes = CaseChanges(status=CaseStatus.CLOSED)
        await house.cases.register.update(analyst, case.id, None, changes, ORIGIN)

    with pytest.raises(CaseReadOnly):
        await hand_in(house, analyst, case_id=case.id, meanwhile=close)
    assert (await house.statuses(), await house.rows("blobs")) == (["failed"], [])


async def test_a_disk_that_is_full_takes_nothing(house: House, analyst: Principal, monkeypatch: Patch) -> None:
    async def full(*_: Any) -> None:
        raise StorageFull

    with monkeypatch.context() as patch:
        patch.setattr(repository, "add_part", full)
        with pytest.raises(StorageFull):
            await hand_in(house, analyst)
    await house.assert_nothing_is_kept("storage_full")


async def test_a_file_whose_commit_was_not_answered_is_the_one_its_key_brings(house: House, analyst: Principal) -> None:
    await hand_in(house, analyst)  # the scope has its key now
    house.database.loses_answers = True
    with pytest.raises(DatabaseAway):
        await hand_in(house, analyst, key="once")
    house.database.loses_answers = False
    await found_out()
    again = await hand_in(house, analyst, key="once")
    assert await house.fetch(analyst, again.id) == CONTENT
    uploads = [told["event"] for told in await house.record("file.uploaded", "file.upload_failed")]
    assert uploads == ["file.uploaded", "file.uploaded"]


async def test_a_database_that_was_away_takes_the_record_once_it_is_back(house: House, analyst: Principal) -> None:
    async def leave() -> None:
        house.database.away = True

    with pytest.raises(DatabaseAway):
        await hand_in(house, analyst, key="once", meanwhile=leave)
    house.database.away = False
    await found_out()
    await house.assert_nothing_is_kept("database_away")
    assert (await hand_in(house, analyst, b"something else", key="once")).status is Status.READY


async def test_an_upload_cancelled_in_its_transaction_stands(
    house: House, analyst: Principal, monkeypatch: Patch
) -> None:
    reached, gate, real = asyncio.Event(), asyncio.Event(), repository.add_part

    async def slow(*arguments: Any) -> None:
        await real(*arguments)
        reached.set()
        await gate.wait()

    monkeypatch.setattr(repository, "add_part", slow)
    upload = asyncio.create_task(hand_in(house, analyst))
    await reached.wait()
    upload.cancel()
    for _ in range(100):  # what gives it up is under way, and has to wait
        await asyncio.sleep(0)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await tasks.drain()
    assert (await house.statuses(), len(await house.rows("blobs"))) == (["ready"], 1)
    assert [told["event"] for told in await house.record()] == ["file.uploaded"]


async def test_an_upload_cancelled_while_it_comes_leaves_only_its_record(house: House, analyst: Principal) -> None:
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(hand_in(house, analyst, meanwhile=hang))
    await reached.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await tasks.drain()
    await house.assert_nothing_is_kept("CancelledError")


async def test_an_upload_that_was_given_up_comes_too_late(house: House, analyst: Principal, monkeypatch: Patch) -> None:
    """Its only transaction begins when it is over: the row that says so keeps it out."""
    reached, gate, real = asyncio.Event(), asyncio.Event(), Intake._keep

    async def late(*arguments: Any) -> FileView:
        reached.set()
        await gate.wait()
        return await real(*arguments)

    monkeypatch.setattr(Intake, "_keep", late)
    upload = asyncio.create_task(hand_in(house, analyst))
    await reached.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    gate.set()
    await tasks.drain()
    await house.assert_nothing_is_kept("CancelledError")


@pytest.mark.parametrize("content", [b"", b"x"], ids=["empty", "a byte"])
async def test_where_rows_take_nothing_even_the_empty_file_lies_in_the_store(
    house: House, analyst: Principal, content: bytes
) -> None:
    house.intake._row_bytes = 0
    file = await hand_in(house, analyst, content)
    assert (await contents(house), len(house.store.blobs)) == ([None], 1)
    assert await house.fetch(analyst, file.id) == content


Way = Callable[..., Any]
BOTH_WAYS = [(small, small), (small, Bytes), (Bytes, small)]


@pytest.mark.parametrize(("first", "second"), BOTH_WAYS, ids=["small twice", "then unannounced", "unannounced, then"])
async def test_the_same_key_and_file_again_brings_the_same_file(
    house: House, analyst: Principal, first: Way, second: Way
) -> None:
    one = await house.intake.receive(analyst, first(CONTENT), ORIGIN, idempotency_key="once")
    two = await house.intake.receive(analyst, second(CONTENT), ORIGIN, idempotency_key="once")
    assert one == two
    assert (await house.statuses(), len(await house.record())) == (["ready"], 1)


async def test_the_same_key_with_another_file_is_refused(house: House, analyst: Principal) -> None:
    await hand_in(house, analyst, key="once")
    with pytest.raises(KeyReused):
        await hand_in(house, analyst, CONTENT + b"x", key="once")
    assert (await house.statuses(), len(await house.record())) == (["ready"], 1)


async def test_a_key_in_flight_is_a_conflict_and_the_first_one_stands(house: House, analyst: Principal) -> None:
    async def again() -> None:
        with pytest.raises(InFlight):
            await hand_in(house, analyst, key="once")

    file = await house.hand_in(analyst, key="once", meanwhile=again)
    assert (file.status, await house.statuses()) == (Status.READY, ["ready"])


async def test_of_many_with_one_key_at_once_one_file_stands(house: House, analyst: Principal) -> None:
    several = await asyncio.gather(*(hand_in(house, analyst, key="once") for _ in range(8)))
    assert len({file.id for file in several}) == 1
    assert (await house.statuses(), len(await house.rows("blobs"))) == (["ready"], 1)


async def test_what_is_counted_with_it_is_in_its_transaction(house: House, analyst: Principal) -> None:
    async def refuse(_: Any, view: FileView) -> None:
        assert view.size == len(CONTENT)
        raise NotFound

    with pytest.raises(NotFound):
        await house.intake.receive(analyst, small(), ORIGIN, counted=refuse)
    await house.assert_nothing_is_kept("not_found")


@pytest.mark.parametrize(("start", "length"), [(0, 1), (255, 2), (500, 524), (1023, 1)])
async def test_a_range_of_a_small_file_is_a_slice(house: House, analyst: Principal, start: int, length: int) -> None:
    file = await hand_in(house, analyst)
    asked = RangeRequest(first=start, last=start + length - 1)
    delivery = await house.deliveries.start(analyst, file.id, ORIGIN, asked)
    assert b"".join([chunk async for chunk in delivery.chunks]) == CONTENT[start : start + length]


async def test_a_moved_file_keeps_its_bytes_under_other_keys(house: House, analyst: Principal) -> None:
    file = await hand_in(house, analyst)
    case = await house.open_case(analyst)
    before = await contents(house)
    moved = await house.files.mover.move(analyst, file.id, None, case.id, ORIGIN)
    assert (await contents(house), moved.case_id) == (before, case.id)
    colleague = await house.principal()
    await house.let_in(analyst, case.id, colleague, CaseRole.READER)
    assert await house.fetch(colleague, file.id) == CONTENT


async def test_a_file_that_is_being_deleted_has_neither_keys_nor_bytes(house: House, analyst: Principal) -> None:
    file = await hand_in(house, analyst)
    async with house.database.write() as connection:
        assert await repository.begin_delete(connection, file.id, file.version)
    assert (await house.rows("blobs"), await house.statuses()) == ([], ["deleting"])
    assert [await house.maintenance.sweep() for _ in range(2)] == [1, 0]  # what was cut off here is finished, once
    assert await house.statuses() == ["deleted"]


async def checked(house: House, *, full: bool) -> list[str | None]:
    return [found.problem async for found in house.maintenance.fsck(full=full)]


async def edit(house: House, content: bytes | None) -> None:
    await house.execute("UPDATE blobs SET content = :content", content=content)


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "a bit of the head": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "a bit of the end": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "a byte less": lambda content: content[:-1],
    "a byte more": lambda content: content + b"x",
    "nothing but its head": lambda content: content[:PREAMBLE_SIZE],
    "empty": lambda _: b"",
    "gone": lambda _: None,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_a_row_whose_bytes_were_edited_is_damage(
    house: House, analyst: Principal, damage: Callable[[bytes], bytes | None]
) -> None:
    file = await hand_in(house, analyst)
    (content,) = await contents(house)
    await edit(house, damage(content or b""))
    with pytest.raises(IntegrityError):
        await house.fetch(analyst, file.id)
    assert await checked(house, full=True) == ["damaged"]


async def test_bytes_of_another_row_are_damage(house: House, analyst: Principal) -> None:
    one, other = await hand_in(house, analyst), await hand_in(house, analyst, b"y" * len(CONTENT))
    del other
    (first,) = [row for row in await house.rows("blobs") if str(row["file_id"]).replace("-", "") != one.id.hex]
    await edit(house, first["content"])
    with pytest.raises(IntegrityError):
        await house.fetch(analyst, one.id)


async def test_a_check_finds_a_small_file_whole_and_a_shorter_one_damaged(house: House, analyst: Principal) -> None:
    await hand_in(house, analyst)
    assert [await checked(house, full=full) for full in (False, True)] == [[None], [None]]
    (content,) = await contents(house)
    await edit(house, (content or b"")[:-1])
    assert await checked(house, full=False) == ["damaged"]


async def test_an_export_has_the_bytes_of_the_row(house: House, analyst: Principal) -> None:
    file = await hand_in(house, analyst)
    (part,) = await house.maintenance.export(file.id, actor="operator")
    stream = b"".join([piece async for piece in part.stream()])
    (content,) = await contents(house)
    assert (content or b"").endswith(stream)
    assert len(stream) == part.length
