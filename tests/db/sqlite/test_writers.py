"""Group commit: what units that wait for each other share, and what each of them may know before the COMMIT."""

import asyncio
import resource
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

from portal.db.engine import parse_url
from portal.db.sqlite import writers
from portal.db.sqlite.engine import SqliteEngine
from portal.db.statements import scanning
from portal.db.unit_of_work import Database, DatabaseAway, after_commit

INSERT = text("INSERT INTO t VALUES (:x)")
EVERY = text("SELECT x FROM t ORDER BY x")
END = text("INSERT OR ROLLBACK INTO t SELECT x FROM t")  # ends the transaction, as a failing disk may
FREE = resource.getrlimit(resource.RLIMIT_FSIZE)


class Commits:
    """Holds up each COMMIT of a writer in its thread while the gate is closed, and counts them.

    Those in `failing` meet a disk that takes no byte.
    """

    def __init__(self, engine: SqliteEngine) -> None:
        self.begun, self.gate, self.failing = 0, threading.Event(), set[int]()
        self._reached, self._loop = asyncio.Event(), asyncio.get_running_loop()
        self.gate.set()
        event.listen(engine.sync_engine, "commit", self._commit)

    async def reached(self) -> None:
        """A COMMIT is at the gate."""
        await self._reached.wait()

    def _commit(self, _: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            return  # a reader's
        self._loop.call_soon_threadsafe(self._reached.set)
        self.gate.wait()
        self.begun += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, FREE[1]) if self.begun in self.failing else FREE)


class House:
    """A table of unique numbers, and what others see of it."""

    def __init__(self, path: Path, engine: SqliteEngine) -> None:
        self.engine, self.database = engine, Database(engine)
        self.commits = Commits(engine)
        self._other = sqlite3.connect(path, isolation_level=None)

    def seen(self) -> set[int]:
        """What another process sees."""
        return {x for (x,) in self._other.execute("SELECT x FROM t")}

    def close(self) -> None:
        self._other.close()
        resource.setrlimit(resource.RLIMIT_FSIZE, FREE)

    async def insert(self, x: int) -> None:
        async with self.database.write() as connection:
            await connection.execute(INSERT, {"x": x})

    async def look(self) -> list[int]:
        """A unit that writes nothing."""
        async with self.database.write() as connection:
            return list((await connection.execute(EVERY)).scalars())

    async def end(self) -> None:
        async with self.database.write() as connection:
            await connection.execute(END)

    async def waiting(self, *units: Any) -> list[asyncio.Task[Any]]:
        """The tasks of units that wait while the COMMIT of a first one, which inserts 0, is at the gate."""
        self.commits.gate.clear()
        tasks = [asyncio.create_task(self.insert(0))]
        await self.commits.reached()
        for unit in units:
            tasks.append(asyncio.create_task(unit))
            await asyncio.sleep(0)
        return tasks


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    path = tmp_path / "a.db"
    engine = SqliteEngine(parse_url(f"sqlite:///{path}"), pool_size=2, pool_seconds=60, busy_seconds=60)
    async with engine.write() as unit:
        await unit.execute(text("CREATE TABLE t (x INTEGER UNIQUE)"))
    made = House(path, engine)
    yield made
    made.close()
    assert engine.pool.checkedout() == 0
    await engine.dispose()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "_MOST_SECONDS", 60)  # tests never time
    monkeypatch.setattr(writers, "_TURN_SECONDS", 60)


async def outcomes(house: House, tasks: list[asyncio.Task[Any]]) -> list[Any]:
    house.commits.gate.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_units_that_wait_for_each_other_share_one_commit(house: House) -> None:
    tasks = await house.waiting(house.insert(1), house.insert(2), house.look())
    assert await outcomes(house, tasks) == [None, None, None, [0, 1, 2]]
    assert (house.commits.begun, house.seen()) == (2, {0, 1, 2})


async def test_a_unit_that_raises_is_undone_alone(house: House) -> None:
    async def refuse() -> None:
        async with house.database.write() as connection:
            await connection.execute(INSERT, {"x": 7})
            raise ZeroDivisionError

    tasks = await house.waiting(house.insert(1), refuse(), house.insert(1), house.insert(2))
    results = await outcomes(house, tasks)
    assert [type(result) for result in results] == [type(None)] * 2 + [ZeroDivisionError, IntegrityError, type(None)]
    assert house.seen() == {0, 1, 2}


async def test_nobody_is_told_of_what_is_not_committed(house: House) -> None:
    tasks = await house.waiting(house.insert(1), house.insert(1), house.look())
    house.commits.gate.set()
    await tasks[0]
    house.commits.gate.clear()
    await house.commits.reached()
    assert not any(task.done() for task in tasks[1:])
    await outcomes(house, tasks)


async def test_a_commit_that_failed_is_unknown_to_all_also_to_who_was_refused_because_of_it(house: House) -> None:
    house.commits.failing = {2}
    called: list[int] = []

    async def call() -> None:
        async with house.database.write() as connection:
            after_commit(connection, lambda: called.append(1))

    tasks = await house.waiting(house.insert(1), house.insert(1), house.look(), call())
    results = await outcomes(house, tasks)
    assert [type(result) for result in results] == [type(None), *[DatabaseAway] * 4]
    assert (house.seen(), called) == ({0}, [])
    await house.insert(1)  # on the connection that there was
    await call()
    assert (house.seen(), called) == ({0, 1}, [1])


async def test_a_transaction_that_sqlite_ended_is_lost_to_all(house: House) -> None:
    tasks = await house.waiting(house.insert(1), house.end(), house.insert(2))
    results = await outcomes(house, tasks)
    assert [type(result) for result in results] == [type(None), DatabaseAway, DatabaseAway, type(None)]
    assert house.seen() == {0, 2}


async def test_a_disk_that_fails_in_the_middle_of_a_unit_fails_its_group(house: House) -> None:
    async def spill() -> None:
        async with house.database.write() as connection:
            for limit in ("cache_size", "cache_spill"):
                await connection.execute(text(f"PRAGMA {limit} = 1"))
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, FREE[1]))
            await connection.execute(text("CREATE TABLE big AS SELECT zeroblob(1000000)"))

    tasks = await house.waiting(house.insert(1), spill(), house.insert(2))
    results = await outcomes(house, tasks)
    assert [type(result) for result in results] == [type(None), DatabaseAway, DatabaseAway, type(None)]
    assert house.seen() == {0, 2}


async def test_a_unit_that_is_cancelled_is_undone_alone(house: House) -> None:
    reached = asyncio.Event()

    async def hang() -> None:
        async with house.database.write() as connection:
            await connection.execute(INSERT, {"x": 7})
            reached.set()
            await asyncio.Event().wait()

    tasks = await house.waiting(house.insert(1), hang(), house.insert(2))
    house.commits.gate.set()
    await reached.wait()
    tasks[2].cancel()
    results = await outcomes(house, tasks)
    assert [type(result) for result in results] == [type(None)] * 2 + [asyncio.CancelledError, type(None)]
    assert house.seen() == {0, 1, 2}


@pytest.mark.parametrize("left", range(4))
async def test_whoever_leaves_while_units_wait_the_others_are_committed(house: House, left: int) -> None:
    tasks = await house.waiting(house.insert(1), house.insert(2), house.insert(3))
    tasks[left].cancel()
    await outcomes(house, tasks)
    assert tasks[left].cancelled()
    assert house.seen() == {0, 1, 2, 3} - ({left} if left else set())  # the first one is on its way


async def test_who_leaves_at_the_very_moment_of_its_turn_passes_it_on(house: House) -> None:
    leaving: asyncio.Task[Any]

    async def push() -> None:
        async with house.database.write() as connection:
            await connection.execute(INSERT, {"x": 1})
        raise AssertionError

    async def cancel() -> None:
        async with house.database.write():
            asyncio.get_running_loop().call_soon(leaving.cancel)  # after the turn was given to it

    tasks = await house.waiting(cancel())
    leaving = asyncio.create_task(push())
    tasks += [leaving, asyncio.create_task(house.insert(2))]
    await asyncio.sleep(0)
    results = await outcomes(house, tasks)
    assert results[1:] == [None, results[2], None]
    assert isinstance(results[2], asyncio.CancelledError)
    assert house.seen() == {0, 2}


@pytest.mark.parametrize(("limit", "value"), [("_MOST_UNITS", 2), ("_MOST_SECONDS", -1)])
async def test_a_group_grows_no_further_than_it_may(
    house: House, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(writers, limit, value)
    tasks = await house.waiting(*(house.insert(x) for x in range(1, 5)))
    assert await outcomes(house, tasks) == [None] * 5
    assert house.commits.begun == 1 + 4 // max(value, 1)


UNITS = st.lists(
    st.sampled_from(["commit", "refuse", "raise", "scan", "cancel", "end", "savepoint"]), min_size=2, max_size=7
)


@given(units=UNITS, failing=st.sets(st.integers(1, 4)), pauses=st.lists(st.integers(0, 3), min_size=7, max_size=7))
async def test_whatever_units_do_what_each_was_told_is_true(
    tmp_path_factory: pytest.TempPathFactory, units: list[str], failing: set[int], pauses: list[int]
) -> None:
    """Each unit reads all and inserts its number. What it saw is on disk when it is answered; its row too, if kept."""
    path = tmp_path_factory.mktemp("units") / "a.db"
    engine = SqliteEngine(parse_url(f"sqlite:///{path}"), pool_size=2, pool_seconds=60, busy_seconds=60)
    async with engine.write() as unit:
        await unit.execute(text("CREATE TABLE t (x INTEGER UNIQUE)"))
    house = House(path, engine)
    house.commits.failing = failing
    kept: set[int] = set()

    async def run(x: int, kind: str) -> None:
        found: set[int] = set()
        try:
            async with house.database.write() as connection:
                found = set((await connection.execute(EVERY)).scalars())
                await connection.execute(INSERT, {"x": x})
                await _act(connection, kind)
        except (ZeroDivisionError, IntegrityError):
            assert found <= house.seen()
            assert x not in house.seen()
        except (DatabaseAway, asyncio.CancelledError):
            assert x not in house.seen()  # our disk fails before it writes
        else:
            assert found | {x} <= house.seen()
            kept.add(x)

    async def start(x: int, kind: str) -> None:
        for _ in range(pauses[x]):
            await asyncio.sleep(0)
        await run(x, kind)

    try:
        await asyncio.gather(*(start(x, kind) for x, kind in enumerate(units)))
        assert house.seen() == kept
        assert engine.pool.checkedout() == 0
    finally:
        house.close()
        await engine.dispose()


async def _act(connection: Any, kind: str) -> None:
    if kind == "raise":
        raise ZeroDivisionError
    if kind == "scan":
        await connection.execute(scanning(EVERY))
    if kind == "end":
        await connection.execute(END)
    if kind == "savepoint":
        with pytest.raises(IntegrityError):
            await _again(connection)
    if kind == "refuse":
        await connection.execute(text("INSERT INTO t SELECT x FROM t"))
    if kind == "cancel":
        asyncio.current_task().cancel()  # type: ignore[union-attr]  # it runs
        await asyncio.sleep(0)


async def _again(connection: Any) -> None:
    async with connection.begin_nested():
        await connection.execute(text("INSERT INTO t SELECT x FROM t"))
