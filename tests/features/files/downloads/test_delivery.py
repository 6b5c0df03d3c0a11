"""Delivery: verified bytes to who may have them, and exactly one outcome on record however it ends."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from portal.backends.blobs.base import StoreAway
from portal.core import clock, tasks
from portal.core.errors import (
    Forbidden,
    IntegrityError,
    NotFound,
    NotSignedIn,
    PortalError,
    PreconditionFailed,
    RangeNotSatisfiable,
    Unavailable,
)
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.core.ranges import WHOLE_FILE, NotModified, Preconditions, RangeRequest
from portal.db.connection import Connection
from portal.db.unit_of_work import DatabaseAway
from portal.features.audit import record
from portal.features.audit.events import Event
from portal.features.files.access import Quarantined
from portal.features.files.downloads import delivery
from portal.features.files.downloads.delivery import Delivery, DownloadAllowance
from portal.features.identity import session_rows

from ..conftest import CONTENT, MARKER, ORIGIN, House, flip

STARTED, ENDED = "file.download_started", "file.download_ended"
SIZE = len(CONTENT)


async def started(house: House, principal: Principal, start: int = 0, length: int | None = None) -> Delivery:
    """A delivery of the only file."""
    (row,) = await house.rows("files")
    file_id = UUID(str(row["id"]))
    asked = RangeRequest(first=start, last=None if length is None else start + length - 1)
    return await house.deliveries.start(principal, file_id, ORIGIN, asked if start or length else WHOLE_FILE)


async def read(running: Delivery) -> bytes:
    return b"".join([chunk async for chunk in running.chunks])


async def outcome(house: House) -> tuple[str, int]:
    """How the only download ended; that it ended once is the claim."""
    begun, ended = await house.record(STARTED, ENDED)
    assert (begun["event"], ended["event"]) == (STARTED, ENDED)
    assert ended["details"]["started"] == begun["id"]
    assert (ended["actor"], ended["subject"]) == (begun["actor"], begun["subject"])
    return ended["details"]["outcome"], ended["details"]["sent"]


@pytest.mark.parametrize("content", [b"", b"x", CONTENT], ids=len)
async def test_the_bytes_come_back_and_are_on_record(house: House, analyst: Principal, content: bytes) -> None:
    file = await house.hand_in(analyst, content)
    assert await house.fetch(analyst, file.id) == content
    begun, _ = await house.record(STARTED, ENDED)
    assert (begun["actor"], begun["subject"]) == (analyst.actor, str(file.id))
    assert (begun["request_id"], begun["address"]) == (ORIGIN.request_id, ORIGIN.address)
    assert begun["details"] == {"start": 0, "length": len(content)}
    assert await outcome(house) == ("finished", len(content))


async def test_ranges_are_cut_from_the_middle(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    extents = [(0, 1), (0, 200), (199, 2), (200, 240), (201, 500), (SIZE - 1, 1), (1, SIZE - 1)]
    for start, length in extents:
        assert await read(await started(house, analyst, start, length)) == CONTENT[start : start + length]
    begun, ended = await house.record(STARTED), await house.record(ENDED)
    assert [(event["details"]["start"], event["details"]["length"]) for event in begun] == extents
    assert [(event["details"]["outcome"], event["details"]["sent"]) for event in ended] == [
        ("finished", length) for _, length in extents
    ]


async def test_started_is_on_record_before_the_first_byte(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    running = await started(house, analyst)
    assert [event["event"] for event in await house.record(STARTED, ENDED)] == [STARTED]
    await read(running)


async def test_no_connection_is_held_while_bytes_flow(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    running = await started(house, analyst)
    held = [house.connections() async for _ in running.chunks]
    assert held == [0] * len(held)
    assert len(held) > 2


REFUSED = {
    "a range behind the end": (RangeRequest(first=SIZE), RangeNotSatisfiable),
    "bytes that have changed": (RangeRequest(Preconditions(match=frozenset())), PreconditionFailed),
    "bytes that the client has": (RangeRequest(Preconditions(none_match=frozenset("*"))), NotModified),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_range_or_condition_that_is_refused_leaves_no_trace(
    house: House, analyst: Principal, what: str
) -> None:
    file = await house.hand_in(analyst)
    asked, refusal = REFUSED[what]
    with pytest.raises(refusal):
        await house.deliveries.start(analyst, file.id, ORIGIN, asked)
    assert await house.record(STARTED, ENDED) == []


async def test_a_download_that_cannot_be_put_on_record_does_not_begin(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.hand_in(analyst)

    async def refuse(_connection: Connection, _event: Event) -> None:
        raise Unavailable

    with monkeypatch.context() as away:
        away.setattr(record, "write", refuse)
        with pytest.raises(Unavailable):
            await started(house, analyst)
    assert await house.record(STARTED, ENDED) == []


async def test_damage_in_the_middle_breaks_off_and_is_on_record(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    flip(house, 3 * 256)
    running = await started(house, analyst)
    got = bytearray()
    with pytest.raises(IntegrityError):
        await drink(running, got)
    assert CONTENT.startswith(got)
    assert 0 < len(got) < SIZE
    assert await outcome(house) == ("damaged", len(got))


async def drink(running: Delivery, into: bytearray) -> None:
    async for chunk in running.chunks:
        into += chunk


async def test_damage_that_shows_at_once_gives_no_byte(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst, b"little")
    places = [0, 20, 100, 130, 170, -1]
    for place in places:
        flip(house, place)
        with pytest.raises(IntegrityError):
            await read(await started(house, analyst))
        flip(house, place)
    ended = [event["details"] for event in await house.record(ENDED)]
    assert [(details["outcome"], details["sent"]) for details in ended] == [("damaged", 0)] * len(places)
    assert await read(await started(house, analyst)) == b"little"


async def test_damage_is_damage_while_the_database_is_away(
    house: House, analyst: Principal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.hand_in(analyst)
    running = await started(house, analyst)
    house.database.away = True
    monkeypatch.setattr(house.database, "read", house.database.write)  # reading is as far away as writing
    monkeypatch.setattr(house.strongbox, "open", damaged)
    with pytest.raises(IntegrityError):
        await read(running)
    (line,) = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert json.loads(line)["details"]["outcome"] == "damaged"


async def damaged(*_: Any) -> Any:
    raise IntegrityError


async def test_a_missing_blob_is_damage(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    house.store.blobs.clear()
    with pytest.raises(IntegrityError):
        await read(await started(house, analyst))
    assert await outcome(house) == ("damaged", 0)


@pytest.mark.parametrize("column", ["record", "data_key_id"])
async def test_a_row_that_says_too_little_is_damage(house: House, analyst: Principal, column: str) -> None:
    await house.hand_in(analyst)
    await house.execute(f"UPDATE files SET {column} = NULL")  # noqa: S608  # a column's name
    with pytest.raises(IntegrityError):
        await read(await started(house, analyst))
    assert await outcome(house) == ("damaged", 0)


@pytest.mark.parametrize("change", ["record = NULL", "size = NULL", "size = -1", "sha256 = 'no hex at all'"])
async def test_a_row_that_says_no_file_is_nothing_to_choose_from_or_to_describe(
    house: House, analyst: Principal, change: str
) -> None:
    file = await house.hand_in(analyst)
    await house.execute(f"UPDATE files SET {change}")  # noqa: S608  # the list above
    with pytest.raises(IntegrityError):
        await house.deliveries.describe(analyst, file.id)
    running = await house.deliveries.start(analyst, file.id, ORIGIN, RangeRequest(first=SIZE))
    with pytest.raises(IntegrityError):
        await read(running)
    assert await outcome(house) == ("damaged", 0)


@pytest.mark.parametrize(
    "change", ["blobs SET part = -1", "blobs SET part = 10000", "blobs SET key_generation = 0", "files SET kind = 'x'"]
)
async def test_a_download_that_cannot_begin_for_what_its_rows_say_is_on_record(
    house: House, analyst: Principal, change: str
) -> None:
    file = await house.hand_in(analyst)
    await house.execute(f"UPDATE {change}")
    with pytest.raises(IntegrityError):
        await started(house, analyst)
    assert await house.record(STARTED, ENDED) == []
    (event,) = await house.record("file.damaged")
    assert (event["actor"], event["subject"], event["request_id"]) == (
        analyst.actor,
        str(file.id),
        ORIGIN.request_id,
    )


async def test_a_store_that_goes_away_breaks_the_download(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    running = await started(house, analyst)
    first = await anext(running.chunks)
    house.store.failing["get"] = StoreAway()
    with pytest.raises(StoreAway):
        await drink(running, got := bytearray())
    assert await outcome(house) == ("broken", len(first) + len(got))


async def test_a_client_that_leaves_is_on_record_with_what_it_got(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    running = await started(house, analyst)
    first = await anext(running.chunks)
    await anext(running.chunks)
    await running.chunks.aclose()
    assert await outcome(house) == ("client_gone", len(first))  # of the second nobody knows whether it arrived


async def test_a_client_that_leaves_stops_the_reading(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    running = await started(house, analyst)
    await anext(running.chunks)
    house.store.failing["get"] = AssertionError("read on")
    await running.chunks.aclose()
    assert (await outcome(house))[0] == "client_gone"


@pytest.mark.parametrize(("stopped", "told"), [(False, "client_gone"), (True, "portal_stopped")])
async def test_a_cancelled_download_is_on_record_with_who_ended_it(
    house: House, analyst: Principal, stopped: bool, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = asyncio.Event()
    monkeypatch.setattr("portal.features.files.downloads.delivery.grace_over", over)
    await house.hand_in(analyst)
    running, reached = await started(house, analyst), asyncio.Event()

    async def slow() -> None:
        async for _ in running.chunks:
            reached.set()
            await asyncio.Event().wait()

    download = asyncio.create_task(slow())
    await reached.wait()
    if stopped:
        over.set()
    download.cancel()
    with pytest.raises(asyncio.CancelledError):
        await download
    await running.chunks.aclose()
    await tasks.drain()
    assert await outcome(house) == (told, 0)


async def test_a_client_that_leaves_with_everything_has_finished(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    running, got = await started(house, analyst), bytearray()

    async def leave_with_everything() -> None:
        async for chunk in running.chunks:
            got.extend(chunk)
            if len(got) == SIZE:
                asyncio.get_running_loop().call_soon(download.cancel)

    download = asyncio.create_task(leave_with_everything())
    await asyncio.wait([download])
    await running.chunks.aclose()
    await tasks.drain()
    assert (download.cancelled(), await outcome(house)) == (True, ("finished", SIZE))


@pytest.mark.parametrize("committed", [False, True])
async def test_a_download_cancelled_while_it_is_put_on_record_ends_on_record(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    await house.hand_in(analyst)
    reached, gate, real = asyncio.Event(), asyncio.Event(), house.database.write

    @contextlib.asynccontextmanager
    async def slow() -> AsyncIterator[Connection]:
        async with real() as connection:
            yield connection
            if not committed:
                await hold()
        await hold()

    async def hold() -> None:
        reached.set()
        await gate.wait()

    monkeypatch.setattr(house.database, "write", slow)
    download = asyncio.create_task(started(house, analyst))
    await reached.wait()
    download.cancel()
    await asyncio.sleep(0)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await download
    await tasks.drain()
    assert await outcome(house) == ("client_gone", 0)


async def test_a_download_that_is_refused_and_cancelled_leaves_no_trace(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)

    async def cancel_and_refuse(*_: object) -> DownloadAllowance:
        download.cancel()
        raise NotFound

    begun = house.deliveries.start(analyst, file.id, ORIGIN, WHOLE_FILE, cancel_and_refuse)
    download = asyncio.create_task(begun)
    with pytest.raises(asyncio.CancelledError):
        await download
    await tasks.drain()
    assert await house.record(STARTED, ENDED) == []


async def test_an_outcome_waits_in_the_journal_while_the_database_is_away(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    running = await started(house, analyst)
    house.database.away = True
    assert await read(running) == CONTENT
    house.database.away = False
    assert [event["event"] for event in await house.record(STARTED, ENDED)] == [STARTED]
    assert await house.recorder.replay() == 1
    assert await house.recorder.replay() == 0
    assert await outcome(house) == ("finished", SIZE)


async def test_an_outcome_whose_commit_lost_its_answer_is_on_record_once(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    running = await started(house, analyst)
    house.database.loses_answers = True
    await read(running)
    house.database.loses_answers = False
    assert await house.recorder.replay() == 1
    assert await outcome(house) == ("finished", SIZE)


async def test_many_downloads_at_once_end_each_once(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    got = await asyncio.gather(*(house.fetch(analyst, file.id) for _ in range(10)))
    assert got == [CONTENT] * 10
    ended = await house.record(ENDED)
    assert len({event["details"]["started"] for event in ended}) == len(ended) == 10


async def test_a_file_deleted_during_its_download_gives_true_bytes_or_breaks_off(
    house: House, analyst: Principal
) -> None:
    file = await house.hand_in(analyst)
    running, got = await started(house, analyst), bytearray()
    got += await anext(running.chunks)
    await house.catalog.delete(analyst, file.id, None, ORIGIN)
    with contextlib.suppress(IntegrityError):
        await drink(running, got)
    assert CONTENT.startswith(got)
    assert await outcome(house) == ("finished" if got == CONTENT else "damaged", len(got))


ACCESS: dict[tuple[Role, bool], type[PortalError] | None] = {
    (Role.ANALYST, True): None,
    (Role.UPLOADER, True): None,
    (Role.ADMIN, True): None,
    (Role.ANALYST, False): NotFound,
    (Role.UPLOADER, False): NotFound,
    (Role.AUDITOR, False): Forbidden,
    (Role.ADMIN, False): Forbidden,
}


async def test_bytes_are_for_their_owner_alone(house: House, analyst: Principal) -> None:
    for (role, own), error in ACCESS.items():
        caller = await house.principal(role)
        file = await house.hand_in(caller if own else analyst)
        if error is None:
            assert await house.fetch(caller, file.id) == CONTENT
            assert (await house.deliveries.describe(caller, file.id)).id == file.id
            continue
        for refused in (house.fetch(caller, file.id), house.deliveries.describe(caller, file.id)):
            with pytest.raises(error):
                await refused
    assert len(await house.record(STARTED)) == 3


async def revoke(house: House, principal: Principal, _: UUID) -> None:
    async with house.database.write() as connection:
        await session_rows.revoke(connection, principal.credential_id, clock.now())


async def demote(house: House, _principal: Principal, _: UUID) -> None:
    await house.execute("UPDATE users SET role = 'auditor'")


async def quarantine(house: House, _principal: Principal, _: UUID) -> None:
    await house.execute("UPDATE files SET status = 'quarantined'")


async def delete(house: House, principal: Principal, file_id: UUID) -> None:
    await house.catalog.delete(principal, file_id, None, ORIGIN)


@pytest.mark.parametrize(
    ("end", "error"),
    [(revoke, NotSignedIn), (demote, Forbidden), (quarantine, Quarantined), (delete, NotFound)],
    ids=["a session", "a right", "a verdict", "a file"],
)
async def test_what_ends_meanwhile_takes_the_running_download_with_it(
    house: House,
    analyst: Principal,
    end: Callable[[House, Principal, UUID], Awaitable[None]],
    error: type[PortalError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "_JUDGED_SECONDS", 0.0)
    file = await house.hand_in(analyst)
    running = await started(house, analyst)
    got = bytearray(await anext(running.chunks))
    await end(house, analyst, file.id)
    with pytest.raises(error):
        await drink(running, got)
    assert len(got) < SIZE
    assert await outcome(house) == ("revoked", len(got))


async def test_a_right_is_judged_while_nobody_takes_the_next_chunk(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_JUDGED_SECONDS", 0.0)
    file = await house.hand_in(analyst)
    running = await started(house, analyst)
    await anext(running.chunks)
    await running.judge()
    await delete(house, analyst, file.id)
    with pytest.raises(NotFound):
        await running.judge()
    await running.chunks.aclose()
    assert await outcome(house) == ("revoked", 0)


async def test_a_database_that_is_away_ends_no_running_download(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> Any:
        raise DatabaseAway

    await house.hand_in(analyst)
    running = await started(house, analyst)
    monkeypatch.setattr(delivery, "_JUDGED_SECONDS", 0.0)
    monkeypatch.setattr(house.sessions, "reauthenticate", away)
    assert await read(running) == CONTENT
    assert await outcome(house) == ("finished", SIZE)


async def test_a_download_is_not_judged_for_every_segment(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []

    async def note(*_: Any) -> Any:
        judged.append(1)

    await house.hand_in(analyst)
    monkeypatch.setattr(house.sessions, "reauthenticate", note)
    monkeypatch.setattr(delivery, "_JUDGED_SECONDS", 3600.0)
    assert await read(await started(house, analyst)) == CONTENT
    assert judged == []


async def test_a_client_that_leaves_while_its_right_is_judged_costs_no_database_connection(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, real = list[Any](), house.sessions.reauthenticate

    async def cut_off(connection: Connection, principal: Principal) -> Principal:
        asyncio.get_running_loop().call_soon(download.cancel)  # the statement is on its way by then
        return await real(connection, principal)

    await house.hand_in(analyst)
    event.listen(house.database.engine.sync_engine, "invalidate", lambda *what: lost.append(what))
    running = await started(house, analyst)
    monkeypatch.setattr(delivery, "_JUDGED_SECONDS", 0.0)
    monkeypatch.setattr(house.sessions, "reauthenticate", cut_off)
    download = asyncio.create_task(read(running))
    await asyncio.wait([download])
    await tasks.drain()
    assert (download.cancelled(), lost, await outcome(house)) == (True, [], ("client_gone", 0))


async def test_a_bug_in_the_middle_is_not_recorded_as_the_clients_leave(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    running = await started(house, analyst)
    got = bytearray(await anext(running.chunks))
    house.store.failing["get"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await drink(running, got)
    assert await outcome(house) == ("broken", len(got))


async def test_a_quarantined_file_is_not_delivered(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst, MARKER.encode())
    for refused in (house.fetch(analyst, file.id), house.deliveries.describe(analyst, file.id)):
        with pytest.raises(Quarantined):
            await refused
    assert await house.record(STARTED, ENDED) == []


async def test_a_stranger_does_not_learn_that_a_file_is_quarantined(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst, MARKER.encode())
    with pytest.raises(NotFound):
        await house.fetch(await house.principal(), file.id)


async def test_what_is_not_there_is_not_found(house: House, analyst: Principal) -> None:
    deleted = await house.hand_in(analyst)
    await house.catalog.delete(analyst, deleted.id, None, ORIGIN)
    seen: list[Any] = []

    async def while_pending() -> None:
        seen.extend(UUID(str(row["id"])) for row in await house.rows("files") if row["status"] == "pending")
        for file_id in (new_id(), deleted.id, *seen):
            with pytest.raises(NotFound):
                await house.deliveries.start(analyst, file_id, ORIGIN)
            with pytest.raises(NotFound):
                await house.deliveries.describe(analyst, file_id)

    await house.hand_in(analyst, meanwhile=while_pending)
    assert len(seen) == 1


@pytest.mark.parametrize("change", [f"sha256 = '{'ab' * 32}'", "size = 1001"])
async def test_what_an_edited_row_says_is_told_of_by_no_answer(house: House, analyst: Principal, change: str) -> None:
    """Not in the headers of a HEAD, nor in a 416, 304 or 412."""
    file = await house.hand_in(analyst)
    await house.execute(f"UPDATE files SET {change}")  # noqa: S608  # the list above
    with pytest.raises(IntegrityError):
        await house.deliveries.describe(analyst, file.id)
    for asked in (RangeRequest(first=5000), *(asked for asked, _ in list(REFUSED.values())[1:])):
        with pytest.raises(IntegrityError):
            await house.deliveries.start(analyst, file.id, ORIGIN, asked)
    assert [event["event"] for event in await house.record("file.damaged")] == ["file.damaged"] * 3


async def test_describing_decrypts_and_records_nothing(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    house.store.failing = {"get": AssertionError("read"), "stat": AssertionError("asked")}
    assert (await house.deliveries.describe(analyst, file.id)).size == SIZE
    assert await house.record(STARTED, ENDED) == []


async def test_bytes_of_an_hour_ago_are_still_there(house: House, analyst: Principal, later: Any) -> None:
    file = await house.hand_in(analyst)
    later(timedelta(hours=1))
    await house.maintenance.sweep()
    assert await house.fetch(analyst, file.id) == CONTENT
