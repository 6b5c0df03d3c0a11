"""The index of names, on both databases: listings are those without it, and nothing of a former name is in it.

The files of the world became available before the index was brought up to date, and after it; some changed since.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from portal.core.principal import Principal
from portal.db.connection import Connection
from portal.features.files import listing, name_index, name_lookup, name_trigrams, repository
from portal.features.files.blob_rows import AT_ONCE
from portal.features.files.models import Status
from portal.features.files.name_trigrams import trigrams
from portal.features.files.order import FileOrder

from .conftest import ORIGIN, House
from .test_availability import ready
from .test_listing import FILTERS, START, World
from .test_repository import change, names

LETTERS = "aAbß%_/ é🔑"
PARTS = st.text(LETTERS, min_size=1, max_size=5) | st.sampled_from(["ss", "e\u0301", "a" * 30])
FEW = st.sampled_from([0, 2, 1_000])
FREQUENT = st.sampled_from([3, 100, 10_000])
SHORT = st.sampled_from([-1, 5])
OTHERS = st.lists(st.sampled_from([*FILTERS, "case_id"]), max_size=2, unique=True)
BLOCK = 16


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few files have several blocks, and are indexed in several batches."""
    monkeypatch.setattr(name_trigrams, "BLOCK", BLOCK)
    monkeypatch.setattr(name_index, "BATCH", 7)


class NamedWorld(World):
    """The same world; its names have something in common with the parts."""

    begins = START

    def _file(self) -> dict[str, Any]:
        file = super()._file()
        later = self.begins - START
        file |= {"created_at": file["created_at"] + later, "available_at": file["available_at"] + later}
        return file | {"name": "".join(self.chance.choices(LETTERS, k=self.chance.randrange(1, 9)))}

    async def change_some(self) -> None:
        """Some files have other names, others are deleted."""
        for file in self.chance.sample([file for file in self.files if file["status"] != Status.DELETED], 12):
            if self.chance.random() < 0.5:
                assert await change(self.house, repository.delete, file["id"], 1, AT_ONCE)
                file["status"] = Status.DELETED
            else:
                new = {"name": self._file()["name"]}
                assert await change(self.house, repository.update_details, file["id"], 1, new)


@pytest.fixture
async def world(house: House) -> NamedWorld:
    """Files in the index and files in its tail; some of both have changed since."""
    made = NamedWorld(house)
    await made.fill()
    await name_index.bring_up_to_date(house.database)
    made.begins += timedelta(40)
    await made.add(40)
    await made.change_some()
    return made


async def in_index(house: House) -> Mapping[UUID, set[int]]:
    """The trigrams of each file in the index that has any."""
    files = {row["number"]: UUID(str(row["file_id"])) for row in await house.rows("indexed_files")}
    found: dict[UUID, set[int]] = {}
    for row in await house.rows("name_trigrams"):
        assert row["block"] == row["number"] // BLOCK
        found.setdefault(files[row["number"]], set()).add(row["trigram"])
    return found


async def in_names(house: House, only: set[UUID] | None = None) -> Mapping[UUID, set[int]]:
    """The trigrams that the names of listed files have."""
    rows = [row for row in await house.rows("files") if row["status"] in {"ready", "quarantined"}]
    made = {UUID(str(row["id"])): set(trigrams(row["name_folded"])) for row in rows}
    return {file_id: found for file_id, found in made.items() if found and (only is None or file_id in only)}


async def up_to_date(house: House) -> int:
    """Bring the index up to date; it then has the names of all listed files, and no others."""
    indexed = await name_index.bring_up_to_date(house.database)
    assert await in_index(house) == await in_names(house)
    return indexed


def test_a_trigram_is_three_characters_in_a_row() -> None:
    assert trigrams("") == trigrams("ab") == []
    assert len(trigrams("abcab")) == 3
    assert trigrams("abcabc") == trigrams("abcab")
    assert set(trigrams("🔑aé%")) == {*trigrams("🔑aé"), *trigrams("aé%")}
    assert trigrams("aab") != trigrams("aba")
    assert max(trigrams("\U0010ffff" * 3)) < 2**31


async def test_a_part_of_a_name_is_found_as_it_is_without_the_index(
    world: NamedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, find = asyncio.get_running_loop(), name_lookup.find
    rows = sorted(await world.house.rows("files"), key=lambda row: str(row["available_at"]))
    present = [row["name"] for row in rows if len(row["name"]) >= name_lookup.SHORTEST]
    pieces = st.sampled_from(present).flatmap(lambda name: st.sampled_from([name, name[:3], name[-4:], name.upper()]))
    looked = {True: 0, False: 0}

    async def look(*asked: Any) -> list[UUID] | None:
        ids = await find(*asked)
        looked[ids is None] += 1
        return ids

    async def nothing(*_: Any) -> None:
        return None

    async def listed_both_ways(caller: Principal, order: FileOrder, asked: dict[str, Any]) -> None:
        monkeypatch.setattr(name_lookup, "find", nothing)
        walked = await world.paged(caller, order, asked)
        monkeypatch.setattr(name_lookup, "find", look)
        assert await world.paged(caller, order, asked) == walked

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        part=pieces | pieces | PARTS,
        caller=st.sampled_from(world.callers),
        order=st.sampled_from(FileOrder),
        others=OTHERS,
        few=FEW,
        frequent=FREQUENT,
        short=SHORT,
    )
    @example(present[-1], world.admin, FileOrder.NEWEST, [], 1_000, 10_000, -1)
    @example(present[0], world.ana, FileOrder.AVAILABLE, ["kind"], 0, 10_000, -1)
    def check(
        part: str, caller: Principal, order: FileOrder, others: list[str], few: int, frequent: int, short: int
    ) -> None:
        for module, name, value in (
            (listing, "FEW", few),
            (name_lookup, "FREQUENT", frequent),
            (listing, "SHORT", short),
        ):
            monkeypatch.setattr(module, name, value)
        filters = FILTERS | {"case_id": world.places[2]}
        asked = {name: filters[name] for name in others} | {"name": part}
        asyncio.run_coroutine_threadsafe(listed_both_ways(caller, order, asked), loop).result()

    await asyncio.to_thread(check)
    assert min(looked.values()) > 0, "each way was taken"


async def test_a_part_leads_to_all_files_that_have_it_and_to_none_if_they_are_too_many(world: NamedWorld) -> None:
    files = [row for row in await world.house.rows("files") if row["status"] in {"ready", "quarantined"}]
    parts = {row["name_folded"][-4:] for row in files if len(row["name_folded"]) >= name_lookup.SHORTEST}
    assert len(parts) > 40
    async with world.house.database.read() as connection:
        for part in parts:
            ids = await name_lookup.find(connection, part, listing._pattern(part), 1_000)
            assert ids is not None
            assert {UUID(str(row["id"])) for row in files if part in row["name_folded"]} <= set(ids)
            assert await name_lookup.find(connection, part, listing._pattern(part), len(ids) - 1) is None


async def test_the_index_has_the_present_names_and_no_others(world: NamedWorld) -> None:
    house = world.house
    before = await in_index(house)
    assert before == await in_names(house, only=set(before))
    assert await up_to_date(house) > 7
    await world.change_some()
    assert await in_index(house) == await in_names(house)
    assert await up_to_date(house) == 0


async def test_a_batch_ends_with_the_name_that_fills_it(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_index, "CHARACTERS", 10)
    sizes: list[int] = []
    add = name_trigrams.add

    async def count(connection: Connection, names: Iterable[tuple[int, str]]) -> None:
        added = list(names)
        sizes.append(sum(len(name) for _, name in added))
        await add(connection, added)

    monkeypatch.setattr(name_trigrams, "add", count)
    for length in (12, 4, 4, 4, 4):
        await house.hand_in(analyst, name="a" * length)
    assert await up_to_date(house) == 5
    assert sizes == [12, 12, 4]


async def test_a_file_that_is_moved_keeps_its_number(house: House, analyst: Principal) -> None:
    case = await house.open_case(analyst)
    files = [await house.hand_in(analyst, name=f"file {number}") for number in range(3)]
    assert await up_to_date(house) == 3
    numbers = await house.rows("indexed_files")
    await house.files.mover.move(analyst, files[0].id, None, case.id, ORIGIN)
    assert await up_to_date(house) == 1
    assert await house.rows("indexed_files") == numbers
    assert await names(house, name="ile 0") == ["file 0"]
    await house.hand_in(analyst, name="file 3")
    assert await up_to_date(house) == 1


async def test_a_file_that_may_still_come_in_front_is_waited_for(house: House, analyst: Principal) -> None:
    if house.database.engine.dialect.name != "postgresql":
        return  # the order of times is the order of commits
    async with house.database.write() as slow:
        await ready(slow, analyst, name="slow.txt")
        async with house.database.write() as quick:
            await ready(quick, analyst, name="quick.txt")
        assert await name_index.bring_up_to_date(house.database) == 0
    assert await names(house, name=".txt") == ["quick.txt", "slow.txt"]


@asynccontextmanager
async def half_deleted(house: House, file_id: UUID) -> AsyncIterator[None]:
    async with house.database.write() as connection:
        assert await repository.delete(connection, file_id, 1, AT_ONCE)
        yield


async def test_a_file_that_is_being_changed_is_indexed_later(house: House, analyst: Principal) -> None:
    if house.database.engine.dialect.name != "postgresql":
        return  # there is one writer at a time
    first, second, third = [await house.hand_in(analyst, name=f"file {number}") for number in range(3)]
    async with half_deleted(house, second.id):
        assert await name_index.bring_up_to_date(house.database) == 1
        assert set(await in_index(house)) == {first.id}
    assert await names(house, name="ile ") == ["file 0", "file 2"]
    await up_to_date(house)
    assert third.id in await in_index(house)


async def test_a_file_that_is_deleted_while_it_is_indexed_leaves_nothing(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await house.hand_in(analyst, name="secret.txt")
    deleting: list[asyncio.Task[Any]] = []
    add = name_trigrams.add

    async def and_delete_it(connection: Connection, rows: Any) -> None:
        await add(connection, rows)
        if not deleting:
            deleting.append(asyncio.create_task(change(house, repository.delete, file.id, 1, AT_ONCE)))
            await waits_or_ends(house, deleting[0])

    monkeypatch.setattr(name_trigrams, "add", and_delete_it)
    await name_index.bring_up_to_date(house.database)
    assert await deleting[0]
    assert await house.rows("name_trigrams") == []


async def waits_or_ends(house: House, change: asyncio.Task[Any]) -> None:
    """Until the change has ended, or waits for a lock; in SQLite it waits for its turn."""
    locked = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    postgres = house.database.engine.dialect.name == "postgresql"
    while not change.done():
        await asyncio.sleep(0)
        if not postgres or await house.rows(locked):
            return
