"""Statements on files and blobs, on both databases: who wins, what is listed and in which order, what is destroyed."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from portal.core import clock
from portal.core.ids import new_id
from portal.core.principal import Principal
from portal.crypto.format import BlobContext
from portal.db.connection import Connection
from portal.db.tables import table
from portal.features.authz.visibility import Visibility
from portal.features.files import blob_rows, repository
from portal.features.files.listing import Filters, list_page
from portal.features.files.models import BlobRow, FileKind, Status
from portal.features.files.views import FileView
from portal.strongbox.model import SealedPart

from .conftest import GRACE, House

NOON = datetime(2026, 11, 21, 12, 0, 0, 123_456, UTC)


def new_file(owner: Principal, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": new_id(),
        "owner_id": owner.user_id,
        "scope": "none",
        "name": "a.bin",
        "declared_type": None,
        "created_at": NOON,
        "lease_until": NOON + timedelta(minutes=1),
        "idempotency_key": None,
    }
    return {**values, **changes}


async def pending(house: House, owner: Principal, **changes: Any) -> UUID:
    new = new_file(owner, **changes)
    async with house.database.write() as connection:
        assert await repository.add(connection, new)
        await blob_rows.add_blob(connection, BlobContext(new["id"], new_id()), "memory")
    file_id: UUID = new["id"]
    return file_id


async def listed(
    house: House,
    owner: Principal,
    *,
    status: Status = Status.READY,
    kind: FileKind = FileKind.OTHER,
    sha256: str = "ab" * 32,
    **changes: Any,
) -> UUID:
    file_id = await pending(house, owner, **changes)
    values = {
        "status": status.value,
        "kind": kind.value,
        "sha256": sha256,
        "size": 3,
        "record": b"r",
        "verdict": "clean",
        "available_at": NOON,
    }
    async with house.database.write() as connection:
        assert await repository.finish(connection, file_id, values)
        for place in await places(house, file_id):
            await blob_rows.store_part(connection, SealedPart(place, new_id(), b"w" * 93, b"c" * 32, 3, 187, "memory"))
    return file_id


async def places(house: House, file_id: UUID) -> list[BlobContext]:
    async with house.database.read() as connection:
        stored = await connection.execute(select(table(BlobRow).c.id).where(table(BlobRow).c.file_id == file_id))
        return [BlobContext(file_id, blob_id) for blob_id in stored.scalars()]


async def parts(connection: Connection, file_id: UUID) -> tuple[SealedPart, ...]:
    file = await repository.find(connection, file_id)
    assert file is not None
    return await blob_rows.parts(connection, file)


async def change(house: House, verb: Callable[..., Any], *arguments: Any) -> Any:
    async with house.database.write() as connection:
        return await verb(connection, *arguments)


async def page(
    house: House, filters: Filters | None = None, after: tuple[datetime, UUID] | None = None, limit: int = 50
) -> list[FileView]:
    async with house.database.read() as connection:
        return await list_page(connection, filters or Filters(), after, limit)


async def names(house: House, **filters: Any) -> list[str]:
    return sorted(file.name for file in await page(house, Filters(**filters)))


async def test_a_file_is_found_as_it_was_written(house: House, analyst: Principal) -> None:
    name = "é🔑\u202e/../x'\"%_\\"
    file_id = await listed(house, analyst, name=name, kind=FileKind.PCAP)
    file = await house.found(file_id)
    assert file is not None
    assert (file.name, file.kind, file.status, file.version) == (name, FileKind.PCAP, Status.READY, 1)
    assert (file.created_at, file.created_at.tzinfo) == (NOON, UTC)
    assert (file.owner_id, file.size, file.sha256, file.record) == (analyst.user_id, 3, "ab" * 32, b"r")


async def test_a_file_that_is_not_there_is_not_found(house: House) -> None:
    assert await house.found(new_id()) is None


async def test_a_pending_file_is_finished_once(house: House, analyst: Principal) -> None:
    file_id = await pending(house, analyst)
    ready = {"status": "ready"}
    assert await change(house, repository.finish, file_id, ready)
    assert not await change(house, repository.finish, file_id, ready)
    assert not await change(house, repository.fail, file_id)
    assert not await change(house, repository.renew_lease, file_id, NOON)
    assert await house.statuses() == ["ready"]


async def test_a_failed_file_is_never_finished(house: House, analyst: Principal) -> None:
    file_id = await pending(house, analyst, idempotency_key="k")
    assert await change(house, repository.fail, file_id)
    assert not await change(house, repository.finish, file_id, {"status": "ready"})
    assert not await change(house, repository.fail, file_id)
    (row,) = await house.rows("files")
    assert (row["status"], row["lease_until"], row["idempotency_key"]) == ("failed", None, None)


async def test_a_lease_that_lasts_longer_keeps_a_file_from_failing(house: House, analyst: Principal) -> None:
    file_id = await pending(house, analyst)
    assert await change(house, repository.renew_lease, file_id, NOON)
    async with house.database.write() as connection:
        before, at = NOON - timedelta(seconds=1), NOON
        assert not await repository.fail(connection, file_id, lease_before=before)
        assert await repository.fail(connection, file_id, lease_before=at)
    assert await house.statuses() == ["failed"]


async def test_of_a_finish_and_a_failure_at_once_one_wins(house: House, analyst: Principal) -> None:
    for _ in range(5):
        file_id = await pending(house, analyst)
        won = await asyncio.gather(
            change(house, repository.finish, file_id, {"status": "ready"}), change(house, repository.fail, file_id)
        )
        file = await house.found(file_id)
        assert file is not None
        assert list(won) == [file if file.status is Status.READY else None, file.status is Status.FAILED]


async def test_a_lease_is_renewed_while_pending(house: House, analyst: Principal) -> None:
    file_id = await pending(house, analyst)
    until = NOON + timedelta(hours=1)
    assert await change(house, repository.renew_lease, file_id, until)
    async with house.database.read() as connection:
        assert await repository.unsettled(connection, until - timedelta(microseconds=1), None, 10) == []
        assert [file.id for file in await repository.unsettled(connection, until, None, 10)] == [file_id]


async def test_details_change_for_the_version_that_was_read(house: House, analyst: Principal) -> None:
    file_id = await listed(house, analyst)
    assert await change(house, repository.update_details, file_id, 1, {"name": "b"})
    assert not await change(house, repository.update_details, file_id, 1, {"name": "c"})
    assert await change(house, repository.update_details, file_id, 2, {"description": "d"})
    file = await house.found(file_id)
    assert file is not None
    assert (file.name, file.description, file.version) == ("b", "d", 3)


async def test_of_many_changes_of_one_version_one_wins(house: House, analyst: Principal) -> None:
    file_id = await listed(house, analyst)
    won = await asyncio.gather(
        *(change(house, repository.update_details, file_id, 1, {"name": str(number)}) for number in range(8))
    )
    assert sorted(won) == [False] * 7 + [True]
    file = await house.found(file_id)
    assert file is not None
    assert (file.name, file.version) == (str(won.index(True)), 2)


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED])
async def test_what_is_not_listed_does_not_change(house: House, analyst: Principal, status: Status) -> None:
    file_id = await pending(house, analyst)
    assert not await change(house, repository.update_details, file_id, 1, {"name": "b"})
    assert await change(house, repository.finish, file_id, {"status": status.value})
    assert not await change(house, repository.update_details, file_id, 1, {"name": "b"})
    assert not await change(house, repository.delete, file_id, 1, GRACE)
    assert await house.statuses() == [status.value]


async def test_a_delete_destroys_keys_and_record(house: House, analyst: Principal) -> None:
    file_id = await listed(house, analyst, idempotency_key="k")
    other = await listed(house, analyst)
    assert not await change(house, repository.delete, file_id, 2, GRACE)
    assert await change(house, repository.delete, file_id, 1, GRACE)
    assert not await change(house, repository.delete, file_id, 1, GRACE)
    keys = {UUID(str(row["file_id"])): row["wrapped_key"] for row in await house.rows("blobs")}
    assert keys[file_id] is None
    assert bytes(keys[other]) == b"w" * 93
    file = await house.found(file_id)
    assert file is not None
    assert (file.status, file.record, file.version) == (Status.DELETED, None, 2)
    async with house.database.read() as connection:
        assert await parts(connection, file_id) == ()
        gone = await repository.find_by_idempotency_key(connection, analyst.user_id, "k")
    assert gone is not None  # a late retry is to find it
    assert gone.id == file_id


async def goes_at(house: House) -> dict[UUID, datetime | None]:
    async with house.database.read() as connection:
        found = await connection.execute(select(table(BlobRow).c.file_id, table(BlobRow).c.goes_at))
        return {row.file_id: row.goes_at for row in found}


async def let_go(house: House, file_id: UUID, grace: timedelta) -> None:
    async with house.database.write() as connection:
        await blob_rows.let_go(connection, blob_rows.of_file(file_id), grace)


async def due(house: House, moment: datetime | None, **more: Any) -> list[UUID]:
    async with house.database.read() as connection:
        return [blob.id for blob in await blob_rows.due(connection, moment, 10, **more)]


async def test_a_blob_that_is_let_go_has_a_time_and_no_other_has(house: House, analyst: Principal) -> None:
    gone, kept, failed = await listed(house, analyst), await listed(house, analyst), await pending(house, analyst)
    before = clock.now()
    assert await change(house, repository.delete, gone, 1, GRACE)
    assert await change(house, repository.fail, failed)
    after, times = clock.now(), await goes_at(house)
    assert times[kept] is None
    assert before + GRACE <= (times[gone] or NOON) <= after + GRACE
    assert before <= (times[failed] or NOON) <= after  # nothing of a failed upload is in any backup


async def test_a_blob_that_is_let_go_again_never_stays_longer(house: House, analyst: Principal) -> None:
    file_id, first = await listed(house, analyst), timedelta(hours=1)
    await let_go(house, file_id, first)
    soon = (await goes_at(house))[file_id]
    await let_go(house, file_id, GRACE)
    assert (await goes_at(house))[file_id] == soon
    await let_go(house, file_id, blob_rows.AT_ONCE)
    assert ((await goes_at(house))[file_id] or NOON) <= clock.now()


async def test_the_blobs_that_are_due_come_in_the_order_of_their_times(house: House, analyst: Principal) -> None:
    files = [await listed(house, analyst) for _ in range(4)]
    blobs = [(await places(house, file_id))[0].blob_id for file_id in files]
    for hours, file_id in zip((3, 1, 2), files, strict=False):
        await let_go(house, file_id, timedelta(hours=hours))
    at = clock.now()
    assert await due(house, at) == []
    assert await due(house, at + timedelta(hours=2)) == [blobs[1], blobs[2]]
    assert await due(house, None) == [blobs[1], blobs[2], blobs[0]]
    assert await due(house, None, skip=1) == [blobs[2], blobs[0]]
    assert await due(house, None, file_id=files[0]) == [blobs[0]]


async def test_a_row_is_forgotten_once(house: House, analyst: Principal) -> None:
    (place,) = await places(house, await pending(house, analyst))
    assert await change(house, blob_rows.forget, place.blob_id)
    assert not await change(house, blob_rows.forget, place.blob_id)
    assert await house.rows("blobs") == []


async def test_parts_come_in_order_and_without_destroyed_ones(house: House, analyst: Principal) -> None:
    file_id = await pending(house, analyst)
    async with house.database.write() as connection:
        for number in (2, 1):
            await blob_rows.add_blob(connection, BlobContext(file_id, new_id(), number), "memory")
        for place in [BlobContext(row.file_id, row.id, row.part) for row in await _blobs(connection)]:
            await blob_rows.store_part(connection, SealedPart(place, new_id(), b"w", b"c" * 32, 3, 187, "memory"))
    async with house.database.read() as connection:
        assert [part.context.part for part in await parts(connection, file_id)] == [0, 1, 2]
    await house.execute("UPDATE blobs SET wrapped_key = NULL WHERE part = 1")
    async with house.database.read() as connection:
        assert [part.context.part for part in await parts(connection, file_id)] == [0, 2]


async def _blobs(connection: Any) -> Any:
    return await connection.execute(table(BlobRow).select())


async def test_a_listing_shows_ready_and_quarantined_alone(house: House, analyst: Principal) -> None:
    await listed(house, analyst, name="ready")
    await listed(house, analyst, name="quarantined", status=Status.QUARANTINED)
    await pending(house, analyst, name="pending")
    await change(house, repository.fail, await pending(house, analyst, name="failed"))
    await change(house, repository.delete, await listed(house, analyst, name="deleted"), 1, GRACE)
    assert await names(house) == ["quarantined", "ready"]
    async with house.database.read() as connection:
        assert await repository.count_listed(connection) == 2
        assert len(await repository.listed_ids(connection, None, 10)) == 2


async def test_a_listing_is_newest_first(house: House, analyst: Principal) -> None:
    for minutes in (2, 0, 1):
        await listed(house, analyst, name=str(minutes), created_at=NOON + timedelta(minutes=minutes))
    assert [file.name for file in await page(house)] == ["2", "1", "0"]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_pages_meet_without_gap_or_overlap_at_equal_times(house: House, analyst: Principal, size: int) -> None:
    moments = [NOON, NOON, NOON, NOON, NOON + timedelta(microseconds=1), NOON.replace(microsecond=0), NOON]
    everything = {await listed(house, analyst, created_at=moment) for moment in moments}
    seen: list[FileView] = []
    after = None
    while found := await page(house, after=after, limit=size):
        seen += found
        after = (found[-1].created_at, found[-1].id)
    assert [(file.created_at, file.id) for file in seen] == sorted(
        ((file.created_at, file.id) for file in seen), reverse=True
    )
    assert len(seen) == len(everything)
    assert {file.id for file in seen} == everything


async def test_pages_by_id_meet_without_gap_or_overlap(house: House, analyst: Principal) -> None:
    everything = sorted([await listed(house, analyst) for _ in range(5)])
    seen: list[UUID] = []
    while True:
        async with house.database.read() as connection:
            found = await repository.listed_ids(connection, seen[-1] if seen else None, 2)
        if not found:
            break
        seen += found
    assert seen == everything


async def test_a_listing_is_narrowed_to_its_owner(house: House, analyst: Principal) -> None:
    other = await house.principal()
    await listed(house, analyst, name="mine")
    await listed(house, other, name="theirs")
    assert await names(house, seen_by=Visibility(analyst.user_id, frozenset())) == ["mine"]
    assert await names(house) == ["mine", "theirs"]
    assert await names(house, seen_by=Visibility(analyst.user_id, frozenset(), new_id())) == []
    assert await names(house, seen_by=Visibility(None, frozenset(), new_id())) == []


PARTS = {
    "disk": ["Disk_1.img", "disk%2.img", "my disk/3"],
    "DISK": ["Disk_1.img", "disk%2.img", "my disk/3"],
    "%": ["disk%2.img"],
    "_": ["Disk_1.img"],
    "/": ["my disk/3"],
    "\\": ["back\\slash"],
    "k_1": ["Disk_1.img"],
    "k%2": ["disk%2.img"],
    "%%": [],
    "d_sk": [],
    "d%k": [],
    "'": ["it's"],
    "' OR 1=1 --": [],
    "img": ["Disk_1.img", "disk%2.img"],
    "%" * 255: [],
    "ärger": ["ÄRGER.txt"],
    "ÄRGER": ["ÄRGER.txt"],
    "a\u0308rger": ["ÄRGER.txt"],
    "STRASSE": ["straße"],
}


async def test_a_part_of_a_name_is_taken_letter_by_letter_whatever_its_case(house: House, analyst: Principal) -> None:
    for name in ("Disk_1.img", "disk%2.img", "my disk/3", "back\\slash", "it's", "ÄRGER.txt", "straße"):
        await listed(house, analyst, name=name)
    assert {part: await names(house, name=part) for part in PARTS} == PARTS


async def test_a_changed_name_is_found_by_its_new_name_alone(house: House, analyst: Principal) -> None:
    file_id = await listed(house, analyst, name="before.txt")
    await change(house, repository.update_details, file_id, 1, {"name": "After.txt"})
    assert (await names(house, name="before"), await names(house, name="after")) == ([], ["After.txt"])


async def test_a_listing_is_narrowed_by_kind_and_digest(house: House, analyst: Principal) -> None:
    await listed(house, analyst, name="a", kind=FileKind.LOG)
    await listed(house, analyst, name="b", kind=FileKind.PCAP, sha256="cd" * 32)
    assert await names(house, kind=FileKind.LOG) == ["a"]
    assert await names(house, sha256="cd" * 32) == ["b"]
    assert await names(house, sha256="cd" * 32, kind=FileKind.LOG) == []


async def test_a_range_of_times_includes_its_beginning_and_not_its_end(house: House, analyst: Principal) -> None:
    tick = timedelta(microseconds=1)
    for name, moment in (("before", NOON - tick), ("at", NOON), ("after", NOON + tick)):
        await listed(house, analyst, name=name, created_at=moment)
    assert await names(house, created_from=NOON) == ["after", "at"]
    assert await names(house, created_to=NOON) == ["before"]
    assert await names(house, created_from=NOON, created_to=NOON + tick) == ["at"]
    assert await names(house, created_from=NOON + tick, created_to=NOON) == []


async def test_a_range_of_times_is_judged_in_any_zone(house: House, analyst: Principal) -> None:
    await listed(house, analyst, name="a")
    elsewhere = NOON.astimezone(ZoneInfo("Asia/Kolkata"))
    assert await names(house, created_from=elsewhere) == ["a"]
    assert await names(house, created_to=elsewhere) == []


async def test_an_idempotency_key_is_taken_once_per_owner(house: House, analyst: Principal) -> None:
    other = await house.principal()
    first = await pending(house, analyst, idempotency_key="k")
    assert not await change(house, repository.add, new_file(analyst, idempotency_key="k"))
    assert await change(house, repository.add, new_file(other, idempotency_key="k"))
    async with house.database.read() as connection:
        found = await repository.find_by_idempotency_key(connection, analyst.user_id, "k")
        assert await repository.find_by_idempotency_key(connection, analyst.user_id, "K") is None
    assert found is not None
    assert found.id == first


async def test_files_without_a_key_never_collide(house: House, analyst: Principal) -> None:
    assert await change(house, repository.add, new_file(analyst))
    assert await change(house, repository.add, new_file(analyst))


async def test_of_many_with_one_key_at_once_one_is_added(house: House, analyst: Principal) -> None:
    added = await asyncio.gather(
        *(change(house, repository.add, new_file(analyst, idempotency_key="k")) for _ in range(8))
    )
    assert sorted(added) == [False] * 7 + [True]
    assert len(await house.rows("files")) == 1


async def test_unsettled_are_uploads_with_an_expired_lease(house: House, analyst: Principal) -> None:
    now = NOON + timedelta(minutes=1)
    expected = {await pending(house, analyst, lease_until=now) for _ in range(3)}
    await pending(house, analyst, lease_until=now + timedelta(microseconds=1))
    await listed(house, analyst)
    for status in (Status.FAILED, Status.REJECTED):
        await change(house, repository.finish, await pending(house, analyst), {"status": status.value})
    deleted = await listed(house, analyst)
    await change(house, repository.delete, deleted, 1, GRACE)
    async with house.database.read() as connection:
        assert {file.id for file in await repository.unsettled(connection, now, None, 50)} == expected
        first = await repository.unsettled(connection, now, None, 2)
        assert len(first) == 2
        rest = await repository.unsettled(connection, now, first[-1].id, 50)
        assert {file.id for file in [*first, *rest]} == expected


async def test_a_blob_is_known_from_before_its_bytes_until_forgotten(house: House, analyst: Principal) -> None:
    file_id = await pending(house, analyst)
    (place,) = await places(house, file_id)
    async with house.database.read() as connection:
        assert await blob_rows.blob_known(connection, place.blob_id)
        assert not await blob_rows.blob_known(connection, new_id())
    await change(house, blob_rows.forget, place.blob_id)
    async with house.database.read() as connection:
        assert not await blob_rows.blob_known(connection, place.blob_id)


async def test_old_keys_of_settled_files_expire(house: House, analyst: Principal) -> None:
    now = clock.now()
    await listed(house, analyst, idempotency_key="old", created_at=now - timedelta(hours=2))
    await listed(house, analyst, idempotency_key="young", created_at=now)
    await pending(house, analyst, idempotency_key="pending", created_at=now - timedelta(hours=2))
    deleted = await listed(house, analyst, idempotency_key="deleted", created_at=now - timedelta(hours=2))
    await change(house, repository.delete, deleted, 1, GRACE)
    await change(house, repository.expire_idempotency_keys, now - timedelta(hours=1))
    left = {row["idempotency_key"] for row in await house.rows("files")}
    assert left == {None, "young", "pending"}
