"""A transaction on SQLite: what runs on the event loop, what in a thread, and how it waits for other processes."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, OperationalError, ResourceClosedError

from portal.db.engine import parse_url
from portal.db.sqlite import writers
from portal.db.sqlite.engine import SqliteEngine
from portal.db.statements import scanning

INSERT = text("INSERT INTO t VALUES (:x)")
EVERY = text("SELECT x FROM t ORDER BY x")
AGAIN = text("INSERT OR ROLLBACK INTO t VALUES (1)")  # ends the transaction, as a failing disk may
THREAD = text("SELECT thread()")
WAIT = text("SELECT wait()")
MOST_INLINE = 1 << 20  # bytes: the most that PORTAL_INLINE_MAX_BYTES may be
LONG = scanning(
    text("WITH RECURSIVE r (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < :most) SELECT max(x) FROM r")
)
EXHAUST = text("SELECT exhaust() FROM t")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = sqlite3.connect(tmp_path / "a.db")
    made.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (x INTEGER UNIQUE)")
    made.close()
    return tmp_path / "a.db"


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


@pytest.fixture
def reached() -> asyncio.Event:
    """Set when a statement waits for the gate."""
    return asyncio.Event()


@pytest.fixture
async def engine(path: Path, gate: threading.Event, reached: asyncio.Event) -> AsyncIterator[SqliteEngine]:
    made = SqliteEngine(parse_url(f"sqlite:///{path}"), pool_size=3, pool_seconds=60, busy_seconds=60)

    loop = asyncio.get_running_loop()

    def wait() -> bool:
        loop.call_soon_threadsafe(reached.set)
        return gate.wait()

    def exhaust() -> None:
        raise MemoryError  # SQLite then rolls back, as where its own memory is exhausted

    def equip(connection: Any, _: object) -> None:
        connection.create_function("exhaust", 0, exhaust)
        connection.create_function("thread", 0, threading.get_ident)
        connection.create_function("wait", 0, wait)

    event.listen(made.sync_engine, "connect", equip)
    yield made
    assert made.pool.checkedout() == 0
    await made.dispose()


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process writes."""
    other = sqlite3.connect(path, isolation_level=None, timeout=0)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


async def stored(engine: SqliteEngine) -> list[int]:
    async with engine.read() as unit:
        return list((await unit.execute(EVERY)).scalars())


async def insert(engine: SqliteEngine, *given: int) -> None:
    async with engine.write() as unit:
        for x in given:
            await unit.execute(INSERT, {"x": x})


async def test_a_point_statement_runs_on_the_loop_and_one_that_scans_does_not(engine: SqliteEngine) -> None:
    for begin in (engine.read, engine.write):
        async with begin() as unit:
            assert await unit.scalar(THREAD) == threading.get_ident()
            assert await unit.scalar(scanning(THREAD)) != threading.get_ident()
            assert await unit.run_sync(lambda sync: sync.scalar(THREAD)) != threading.get_ident()


async def test_a_commit_that_syncs_runs_in_a_thread(engine: SqliteEngine) -> None:
    threads: list[int] = []
    event.listen(engine.sync_engine, "commit", lambda _: threads.append(threading.get_ident()))
    await insert(engine, 1)
    await stored(engine)
    written, read = threads
    assert written != threading.get_ident() == read


async def test_what_small_files_write_is_written_by_the_commit_in_its_thread(engine: SqliteEngine, path: Path) -> None:
    async with engine.write() as unit:
        await unit.execute(text("CREATE TABLE small (content BLOB)"))
    log = path.with_name(f"{path.name}-wal")
    async with engine.write() as unit:
        before = log.stat().st_size
        for _ in range(writers._MOST_UNITS):
            await unit.execute(text("INSERT INTO small VALUES (zeroblob(:size))"), {"size": MOST_INLINE})
        assert log.stat().st_size == before
    assert log.stat().st_size > before + writers._MOST_UNITS * MOST_INLINE


async def test_the_loop_goes_on_while_a_scan_runs(engine: SqliteEngine, gate: threading.Event) -> None:
    async with engine.read() as unit:
        scan = asyncio.create_task(unit.scalar(scanning(WAIT)))
        await insert(engine, 1)
        assert not scan.done()
        gate.set()
        assert await scan == 1


async def test_a_caller_who_leaves_a_scan_gives_the_connection_back_when_it_has_ended(
    engine: SqliteEngine, gate: threading.Event, reached: asyncio.Event
) -> None:
    async def scan() -> None:
        async with engine.write() as unit:
            await unit.execute(INSERT, {"x": 1})
            await unit.scalar(scanning(WAIT))

    leaving = asyncio.create_task(scan())
    await reached.wait()
    for _ in range(2):
        leaving.cancel()
        await asyncio.sleep(0)
    assert not leaving.done()
    gate.set()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    await insert(engine, 2)
    assert await stored(engine) == [2]


async def test_a_scan_that_only_reads_ends_when_its_caller_leaves_also_before_it_began(
    engine: SqliteEngine, gate: threading.Event, reached: asyncio.Event
) -> None:
    """It is a long one: whoever is not interrupted waits for it."""
    loop, errors, used = asyncio.get_running_loop(), [], set()

    def hold(*_: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            loop.call_soon_threadsafe(reached.set)
            gate.wait()

    async def scan() -> None:
        async with engine.read() as unit:
            used.add(unit._connection)
            await unit.execute(LONG, {"most": 5_000_000})

    event.listen(engine.sync_engine, "before_cursor_execute", hold)
    event.listen(engine.sync_engine, "handle_error", lambda context: errors.append(str(context.original_exception)))
    leaving = asyncio.create_task(scan())
    await reached.wait()
    leaving.cancel()
    await asyncio.sleep(0)
    gate.set()
    await asyncio.wait([leaving])
    assert (leaving.cancelled(), errors) == (True, ["interrupted"])
    async with engine.write() as unit:
        used.add(unit._connection)
        await unit.execute(INSERT, {"x": 1})
        assert await unit.scalar(LONG, {"most": 1000}) == 1000
    assert (len(used), await stored(engine)) == (1, [1])


async def test_a_writer_waits_for_another_process_and_the_loop_does_not(engine: SqliteEngine, path: Path) -> None:
    with locked(path) as other:
        writing = asyncio.create_task(insert(engine, 1))
        assert await stored(engine) == []
        assert not writing.done()
        other.execute("COMMIT")
    await writing
    assert await stored(engine) == [1]


async def test_a_reader_that_wants_to_write_what_changed_meanwhile_fails_at_once(engine: SqliteEngine) -> None:
    async with engine.read() as unit:
        await unit.execute(EVERY)
        await insert(engine, 1)
        with pytest.raises(OperationalError, match="locked"):
            await unit.execute(INSERT, {"x": 2})


async def test_rows_that_nobody_reads_keep_no_statement_open(engine: SqliteEngine) -> None:
    await insert(engine, 1, 2, 3)
    async with engine.write() as unit:
        left = await unit.execute(EVERY)
        await unit.execute(text("DROP TABLE t"))  # refused while a statement reads it
        assert left.first() == (1,)


async def test_what_a_savepoint_undoes_is_undone_alone(engine: SqliteEngine) -> None:
    async with engine.write() as unit:
        await unit.execute(INSERT, {"x": 1})
        with pytest.raises(IntegrityError):
            await _nested(unit)
        async with unit.begin_nested():
            await unit.execute(INSERT, {"x": 3})
    assert await stored(engine) == [1, 3]


async def _nested(unit: Any) -> None:
    async with unit.begin_nested():
        await unit.execute(INSERT, {"x": 2})
        await unit.execute(INSERT, {"x": 1})


@pytest.mark.parametrize("nested", [False, True])
async def test_nothing_is_written_after_sqlite_ended_the_transaction_itself(
    engine: SqliteEngine, *, nested: bool
) -> None:
    async def go_on() -> None:
        async with engine.write() as unit:
            await unit.execute(INSERT, {"x": 1})
            with pytest.raises(IntegrityError):
                await (_rolled_back(unit) if nested else unit.execute(AGAIN))
            with pytest.raises(IntegrityError):
                await unit.execute(INSERT, {"x": 2})

    with pytest.raises(IntegrityError):
        await go_on()
    assert await stored(engine) == []


async def test_a_transaction_that_ended_for_want_of_memory_is_not_acknowledged(engine: SqliteEngine) -> None:
    async def go_on() -> None:
        async with engine.write() as unit:
            await unit.execute(INSERT, {"x": 1})
            with pytest.raises(MemoryError):
                await unit.execute(EXHAUST)

    with pytest.raises(MemoryError):
        await go_on()
    assert await stored(engine) == []


async def test_a_unit_that_has_ended_executes_nothing(engine: SqliteEngine) -> None:
    for begin in (engine.read, engine.write):
        async with begin() as ended:
            pass
        for use in (ended.execute(INSERT, {"x": 1}), ended.run_sync(lambda sync: sync.execute(INSERT, {"x": 1}))):
            with pytest.raises(ResourceClosedError):
                await use
        with pytest.raises(ResourceClosedError):
            await _nested(ended)
    assert await stored(engine) == []


async def _rolled_back(unit: Any) -> None:
    async with unit.begin_nested():
        await unit.execute(AGAIN)


async def test_where_no_thread_can_be_started_all_is_executed_once_and_nobody_is_stuck(engine: SqliteEngine) -> None:
    await insert(engine, 0)
    await engine.dispose()
    with no_more_threads():
        async with engine.write() as unit:
            await unit.execute(scanning(INSERT), {"x": 1})
        await asyncio.gather(insert(engine, 2), insert(engine, 3))
    async with engine.read() as unit:
        assert await unit.scalar(scanning(THREAD)) != threading.get_ident()
    assert await stored(engine) == [0, 1, 2, 3]


@contextmanager
def no_more_threads() -> Iterator[None]:
    """The process cannot start a thread: it would need more memory than there are addresses."""
    before = threading.stack_size(1 << 62)
    try:
        yield
    finally:
        threading.stack_size(before)


async def test_an_engine_that_was_disposed_of_can_be_used_again(engine: SqliteEngine) -> None:
    for x in range(3):
        await insert(engine, x)
        await engine.dispose()
    assert await stored(engine) == [0, 1, 2]


async def test_a_connection_that_comes_back_when_all_are_closed_is_closed(engine: SqliteEngine) -> None:
    async with engine.read() as unit:
        await engine.dispose()
    assert unit._connection.closed
    assert await stored(engine) == []
