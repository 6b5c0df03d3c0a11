"""SQLite's connections: what SQLAlchemy asks of them, and how rarely they wake their thread."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from portal.db import sqlite
from portal.db.sqlite import SqliteConnection

TO_READ, TO_WRITE = "BEGIN", "BEGIN IMMEDIATE"


class Counted(SqliteConnection):
    """Counts its calls into the thread."""

    calls = 0

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]  # aiosqlite has no types


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = sqlite3.connect(tmp_path / "a.db")
    made.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (x INTEGER UNIQUE)")
    made.close()
    return tmp_path / "a.db"


@pytest.fixture
async def connection(path: Path) -> AsyncIterator[Counted]:
    opened = Counted(lambda: sqlite3.connect(path, check_same_thread=False, isolation_level=None), 1)
    await opened
    yield opened
    await opened.close()


def stored(path: Path) -> list[int]:
    other = sqlite3.connect(path)
    found = [x for (x,) in other.execute("SELECT x FROM t ORDER BY x")]
    other.close()
    return found


async def said(connection: SqliteConnection, operation: str, *parameters: Any) -> sqlite.Cursor:
    async with connection.cursor() as cursor:
        return await cursor.execute(operation, parameters)


async def test_a_reading_transaction_of_one_statement_is_one_call(connection: Counted) -> None:
    connection.begin_with(TO_READ)
    cursor = await said(connection, "SELECT 1 AS one")
    await connection.commit()
    await connection.rollback()  # as the pool does with what comes back
    assert (await cursor.fetchall(), cursor.description[0][0]) == ([(1,)], "one")
    assert connection.calls == 1


async def test_a_writing_transaction_is_a_call_for_each_statement_and_one_to_commit(
    connection: Counted, path: Path
) -> None:
    connection.begin_with(TO_WRITE)
    for x in (1, 2):
        assert (await said(connection, "INSERT INTO t VALUES (?)", x)).rowcount == 1
    assert stored(path) == []
    await connection.commit()
    assert (stored(path), connection.calls) == ([1, 2], 3)


async def test_a_transaction_of_nothing_is_no_call(connection: Counted) -> None:
    for beginning in (TO_READ, TO_WRITE):
        connection.begin_with(beginning)
        await connection.commit()
        connection.begin_with(beginning)
        await connection.rollback()
    assert connection.calls == 0
    await said(connection, "INSERT INTO t VALUES (1)")  # and left nothing behind
    assert not connection.in_transaction


async def test_what_was_rolled_back_or_failed_is_not_there(connection: Counted, path: Path) -> None:
    connection.begin_with(TO_WRITE)
    await said(connection, "INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.IntegrityError):
        await said(connection, "INSERT INTO t VALUES (1)")
    await connection.rollback()
    assert stored(path) == []


async def test_the_write_lock_comes_with_the_first_statement(connection: Counted, path: Path) -> None:
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    connection.begin_with(TO_WRITE)
    other.execute("INSERT INTO t VALUES (7)")
    assert await (await said(connection, "SELECT x FROM t")).fetchall() == [(7,)]
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("INSERT INTO t VALUES (8)")
    await connection.commit()
    other.execute("INSERT INTO t VALUES (8)")
    other.close()


async def test_a_lock_that_another_holds_is_the_first_statements_error(connection: Counted, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(TO_WRITE)
    await said(connection, "PRAGMA busy_timeout = 0")
    connection.begin_with(TO_WRITE)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await said(connection, "INSERT INTO t VALUES (1)")
    await connection.rollback()
    other.execute("ROLLBACK")
    other.close()
    connection.begin_with(TO_WRITE)
    await said(connection, "INSERT INTO t VALUES (1)")
    await connection.commit()
    assert stored(path) == [1]


async def test_many_rows_go_in_one_call(connection: Counted, path: Path) -> None:
    connection.begin_with(TO_WRITE)
    async with connection.cursor() as cursor:
        await cursor.executemany("INSERT INTO t VALUES (?)", [(1,), (2,), (3,)])
    await connection.commit()
    assert (stored(path), cursor.rowcount, connection.calls) == ([1, 2, 3], 3, 2)
