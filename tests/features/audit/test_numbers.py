"""Numbers of audit rows on both databases: 1, 2, 3, … in the order of their sealing; no row missed, none twice."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text

from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.audit.numbers import seal_numbers

POSTGRES = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)  # SQLite has one writer at a time
_ROWS = text("SELECT n.number, n.seq, a.id FROM audit_numbers n JOIN audit a ON a.seq = n.seq ORDER BY n.number")


def event() -> Event:
    return Event(EventKind.FILE_UPLOADED, "user:1")


async def put(database: Database, count: int = 1) -> None:
    async with database.write() as connection:
        for _ in range(count):
            await record.write(connection, event())


async def seal(database: Database, most: int = 10_000) -> range:
    async with database.write() as connection:
        return await seal_numbers(connection, most=most)


async def sealed(database: Database) -> list[tuple[int, int]]:
    """Number and `seq` of each sealed row, by number."""
    async with database.read() as connection:
        return [(number, seq) for number, seq, _ in await connection.execute(_ROWS)]


async def settled(database: Database) -> set[int]:
    """The numbers that were given while no smaller `seq` could appear any more."""
    async with database.read() as connection:
        return set((await connection.execute(text("SELECT number FROM audit_numbers WHERE settled"))).scalars())


async def seq_of(connection: Connection, one: Event) -> int:
    found = await connection.execute(text("SELECT seq, body FROM audit"))
    return next(int(seq) for seq, body in found if Event.from_canonical(body) == one)


async def assert_whole(database: Database, rows: int) -> None:
    numbers = await sealed(database)
    assert [number for number, _ in numbers] == list(range(1, rows + 1))
    assert len({seq for _, seq in numbers}) == rows


async def rolled_back(database: Database, work: Callable[[Connection], Awaitable[object]]) -> None:
    async with database.write() as connection:
        await work(connection)
        raise KeyError


async def test_rows_are_numbered_once_in_the_order_they_were_written(database: Database) -> None:
    await put(database, 3)
    assert await seal(database) == range(1, 4)
    assert await seal(database) == range(4, 4)
    await put(database, 2)
    assert await seal(database) == range(4, 6)
    numbers = await sealed(database)
    assert numbers == sorted(numbers)
    assert [seq for _, seq in numbers] == sorted(seq for _, seq in numbers)
    await assert_whole(database, 5)
    assert await settled(database) == {1, 2, 3, 4, 5}


async def test_a_sealer_takes_no_more_than_it_is_asked_to(database: Database) -> None:
    await put(database, 5)
    assert [len(await seal(database, most=2)) for _ in range(4)] == [2, 2, 1, 0]
    await assert_whole(database, 5)


async def test_what_is_rolled_back_leaves_no_gap(database: Database) -> None:
    for _ in range(3):
        await put(database)
        for work in (lambda connection: record.write(connection, event()), seal_numbers):
            with pytest.raises(KeyError):
                await rolled_back(database, work)
        await seal(database)
    await assert_whole(database, 3)


@POSTGRES
async def test_a_row_that_commits_behind_a_larger_one_is_numbered_later_and_never_missed(
    database: Database,
) -> None:
    late = event()
    async with database.write() as slow:
        await record.write(slow, late)
        seq = await seq_of(slow, late)
        await put(database, 3)
        assert await seal(database) == range(1, 4)
        assert all(other > seq for _, other in await sealed(database))
        await put(database, 2)
        assert await seal(database) == range(4, 6)
        assert await settled(database) == set()
    assert await seal(database) == range(6, 7)
    assert (await sealed(database))[-1] == (6, seq)
    assert await settled(database) == {6}
    await assert_whole(database, 6)


async def test_writers_and_sealers_at_once_give_every_committed_row_one_number(database: Database) -> None:
    async def write(number: int) -> None:
        async with database.write() as connection:
            for _ in range(number % 3 + 1):
                await record.write(connection, event())
                await asyncio.sleep(0)
            if number % 4 == 0:
                raise KeyError

    async def seal_often() -> None:
        for _ in range(10):
            await seal(database, most=7)

    for _ in range(3):
        await asyncio.gather(*map(write, range(24)), *(seal_often() for _ in range(4)), return_exceptions=True)
    await seal(database)
    async with database.read() as connection:
        rows = int(await connection.scalar(text("SELECT count(*) FROM audit")) or 0)
    assert rows == 3 * sum(number % 3 + 1 for number in range(24) if number % 4)
    await assert_whole(database, rows)


@POSTGRES
async def test_of_two_sealers_one_waits(database: Database) -> None:
    await put(database, 3)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(database.write())
        assert await seal_numbers(first) == range(1, 4)
        second = asyncio.create_task(seal(database))
        await put(database)
        await asyncio.sleep(0)
        assert not second.done()
    assert await second == range(4, 5)
    await assert_whole(database, 4)
