"""Small files lie sealed in their rows, by one transaction, and every other part of the portal finds them there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import event

from portal.core import tasks
from portal.core.errors import (
    IntegrityError,
    StorageFull,
)
from portal.core.principal import Principal
from portal.core.ranges import RangeRequest
from portal.crypto.blob import PREAMBLE_SIZE
from portal.db.connection import Connection
from portal.features.authz.relation import CaseRole
from portal.features.files import blob_rows, repository

from ..conftest import CONTENT, GRACE, ORIGIN, Bytes, House

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def announces(house: House) -> None:
    """What is handed in here says its length."""
    house.announces = True


async def contents(house: House) -> list[bytes | None]:
    return [row["content"] for row in await house.rows("blobs")]


async def test_a_small_file_lies_in_its_row_and_in_no_store(house: House, analyst: Principal) -> None:
    house.store.failing = dict.fromkeys(("create", "write", "commit", "get", "stat"), ZeroDivisionError())
    file = await house.hand_in(analyst)
    (row,) = await house.rows("blobs")
    assert (row["store"], len(row["content"])) == ("row", row["stored_length"])
    assert await house.fetch(analyst, file.id) == CONTENT
    await house.catalog.delete(analyst, file.id, None, ORIGIN)
    assert (await house.rows("blobs"), await house.statuses()) == ([], ["deleted"])


async def test_one_transaction_takes_it_in(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)  # the scope has its key now
    commits: list[str] = []
    event.listen(house.database.engine.sync_engine, "commit", lambda _: commits.append("commit"))
    await house.hand_in(analyst)
    assert commits == ["commit"]


async def test_a_disk_that_is_full_takes_nothing(house: House, analyst: Principal, monkeypatch: Patch) -> None:
    async def full(*_: Any) -> None:
        raise StorageFull

    with monkeypatch.context() as patch:
        patch.setattr(blob_rows, "add_part", full)
        with pytest.raises(StorageFull):
            await house.hand_in(analyst)
    await house.assert_nothing_is_kept("storage_full")


async def test_an_upload_that_was_given_up_comes_too_late(house: House, analyst: Principal, monkeypatch: Patch) -> None:
    """Its only transaction begins when it is over: the row that says so keeps it out."""
    await house.hand_in(analyst)  # the scope has its key now
    reached, gate, real = asyncio.Event(), asyncio.Event(), house.database.write

    @asynccontextmanager
    async def late() -> AsyncIterator[Connection]:
        monkeypatch.setattr(house.database, "write", real)
        reached.set()
        await gate.wait()
        async with real() as connection:
            yield connection

    monkeypatch.setattr(house.database, "write", late)
    upload = asyncio.create_task(house.hand_in(analyst))
    await reached.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    gate.set()
    await tasks.drain()
    assert (await house.statuses(), await house.kept()) == (["failed", "ready"], 1)
    assert [told["event"] for told in await house.record()] == ["file.uploaded", "file.upload_failed"]


@pytest.mark.parametrize("content", [b"", b"x"], ids=["empty", "a byte"])
async def test_where_rows_take_nothing_even_the_empty_file_lies_in_the_store(
    house: House, analyst: Principal, content: bytes
) -> None:
    arrival = Bytes(content, content_length=len(content))
    file = await house.intake_with(row_bytes=0).receive(analyst, arrival, ORIGIN)
    assert (await contents(house), len(house.store.blobs)) == ([None], 1)
    assert await house.fetch(analyst, file.id) == content


@pytest.mark.parametrize(("start", "length"), [(0, 1), (255, 2), (500, 524), (1023, 1)])
async def test_a_range_of_a_small_file_is_a_slice(house: House, analyst: Principal, start: int, length: int) -> None:
    file = await house.hand_in(analyst)
    asked = RangeRequest(first=start, last=start + length - 1)
    delivery = await house.deliveries.start(analyst, file.id, ORIGIN, asked)
    assert b"".join([chunk async for chunk in delivery.chunks]) == CONTENT[start : start + length]


async def test_a_moved_file_keeps_its_bytes_under_other_keys(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    case = await house.open_case(analyst)
    before = await contents(house)
    moved = await house.files.mover.move(analyst, file.id, None, case.id, ORIGIN)
    assert (await contents(house), moved.case_id) == (before, case.id)
    colleague = await house.principal()
    await house.let_in(analyst, case.id, colleague, CaseRole.READER)
    assert await house.fetch(colleague, file.id) == CONTENT


async def test_a_small_file_is_gone_with_its_keys_and_waits_for_no_grace(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    async with house.database.write() as connection:
        assert await repository.delete(connection, file.id, file.version, GRACE)
    assert (await house.rows("blobs"), await house.statuses()) == ([], ["deleted"])
    assert await house.maintenance.sweep() == 0  # nothing is left to it


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
    file = await house.hand_in(analyst)
    (content,) = await contents(house)
    await edit(house, damage(content or b""))
    with pytest.raises(IntegrityError):
        await house.fetch(analyst, file.id)
    assert await checked(house, full=True) == ["damaged"]


async def test_bytes_of_another_row_are_damage(house: House, analyst: Principal) -> None:
    one, other = await house.hand_in(analyst), await house.hand_in(analyst, b"y" * len(CONTENT))
    del other
    (first,) = [row for row in await house.rows("blobs") if str(row["file_id"]).replace("-", "") != one.id.hex]
    await edit(house, first["content"])
    with pytest.raises(IntegrityError):
        await house.fetch(analyst, one.id)


async def test_a_check_finds_a_small_file_whole_and_a_shorter_one_damaged(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    assert [await checked(house, full=full) for full in (False, True)] == [[None], [None]]
    (content,) = await contents(house)
    await edit(house, (content or b"")[:-1])
    assert await checked(house, full=False) == ["damaged"]


async def test_an_export_has_the_bytes_of_the_row(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    (part,) = await house.maintenance.export(file.id, actor="operator")
    stream = b"".join([piece async for piece in part.stream()])
    (content,) = await contents(house)
    assert (content or b"").endswith(stream)
    assert len(stream) == part.length
