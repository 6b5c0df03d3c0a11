"""The unit of work: all or nothing, one writer after the other, and one word for a database that is away."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError

from portal.core.errors import StorageFull, Unavailable
from portal.core.ids import new_id
from portal.db import engine as engines
from portal.db.connection import Connection
from portal.db.engine import make_engine, parse_url
from portal.db.sqlite import writers
from portal.db.unit_of_work import Database, DatabaseAway, after_commit


@pytest.fixture
async def counter(database: Database) -> Database:
    """A database with one number in it."""
    async with database.write() as connection:
        await connection.execute(text("DROP TABLE IF EXISTS counter"))  # of the test before
        await connection.execute(text("CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)"))
        await connection.execute(text("INSERT INTO counter VALUES (1, 0)"))
    return database


async def number(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(text("SELECT n FROM counter WHERE id = 1"))).scalar_one())


async def put(connection: Connection, value: int) -> None:
    await connection.execute(text("UPDATE counter SET n = :n WHERE id = 1"), {"n": value})


async def test_a_block_that_ends_is_committed(counter: Database) -> None:
    async with counter.write() as connection:
        await put(connection, 7)
    assert await number(counter) == 7


async def test_a_block_that_raises_leaves_nothing(counter: Database) -> None:
    async def fail() -> None:
        async with counter.write() as connection:
            await put(connection, 7)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await number(counter) == 0


async def test_a_cancelled_block_leaves_nothing(counter: Database) -> None:
    reached = asyncio.Event()

    async def hang() -> None:
        async with counter.write() as connection:
            await put(connection, 7)
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await number(counter) == 0


async def test_nobody_sees_a_block_before_its_end(counter: Database) -> None:
    async with counter.write() as connection:
        await put(connection, 7)
        assert await number(counter) == 0
    assert await number(counter) == 7


async def test_fifty_at_once_each_add_one(counter: Database) -> None:
    lock = "" if counter.engine.dialect.name == "sqlite" else " FOR UPDATE"

    async def add() -> None:
        async with counter.write() as connection:
            found = await connection.execute(text(f"SELECT n FROM counter WHERE id = 1{lock}"))  # noqa: S608
            await put(connection, int(found.scalar_one()) + 1)

    await asyncio.gather(*(add() for _ in range(50)))
    assert await number(counter) == 50


async def test_fifty_at_once_each_add_one_by_compare_and_set(counter: Database) -> None:
    async def add() -> None:
        done = 0
        while not done:
            async with counter.read() as connection:
                seen = int((await connection.execute(text("SELECT n FROM counter WHERE id = 1"))).scalar_one())
            async with counter.write() as connection:
                swap = text("UPDATE counter SET n = n + 1 WHERE id = 1 AND n = :seen")
                done = (await connection.execute(swap, {"seen": seen})).rowcount

    await asyncio.gather(*(add() for _ in range(10)))
    assert await number(counter) == 10


async def test_readers_wait_for_no_writer(counter: Database) -> None:
    async with counter.write() as connection:
        await put(connection, 7)
        assert await asyncio.gather(*(number(counter) for _ in range(5))) == [0] * 5


async def test_a_broken_constraint_is_no_database_away(counter: Database) -> None:
    async def again() -> None:
        async with counter.write() as connection:
            await connection.execute(text("INSERT INTO counter VALUES (1, 1)"))

    with pytest.raises(IntegrityError):
        await again()
    assert await number(counter) == 0


async def test_connections_go_back_to_the_pool_however_a_block_ends(counter: Database) -> None:
    for _ in range(30):  # more than the pool holds
        with pytest.raises(ZeroDivisionError):
            await _fail(counter)
        await counter.check()


async def _fail(database: Database) -> None:
    async with database.write():
        raise ZeroDivisionError


async def test_a_database_that_answers_is_there(database: Database) -> None:
    await database.check()


@asynccontextmanager
async def opened(url: URL) -> AsyncIterator[Database]:
    database = Database(make_engine(url, "disable"))
    try:
        yield database
    finally:
        await database.aclose()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_postgres_that_does_not_listen_is_away() -> None:
    url = parse_url(f"postgresql://portal:c4n4ry@127.0.0.1:{closed_port()}/portal")
    async with opened(url) as database:
        with pytest.raises(DatabaseAway) as caught:
            await database.check()
    assert isinstance(caught.value, Unavailable)
    assert "c4n4ry" not in str(caught.value)


async def administer(server: URL, *statements: str) -> None:
    connection = await asyncpg.connect(server.set(drivername="postgresql").render_as_string(hide_password=False))
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.fixture
async def crowded(postgres: URL) -> AsyncIterator[URL]:
    """A role that may not open one connection more, as every role of a full server."""
    name = f"r{new_id().hex}"
    await administer(postgres, f'CREATE ROLE "{name}" LOGIN CONNECTION LIMIT 0')
    yield postgres.set(username=name)
    await administer(postgres, f'DROP ROLE "{name}"')


async def check(url: URL) -> None:
    async with opened(url) as database:
        await database.check()


async def test_a_server_without_room_for_one_more_is_away(crowded: URL) -> None:
    with pytest.raises(DatabaseAway):
        await check(crowded)


async def test_a_database_or_role_that_is_not_there_is_away(postgres: URL) -> None:
    for url in (postgres.set(database=new_id().hex), postgres.set(username=new_id().hex)):
        with pytest.raises(DatabaseAway):
            await check(url)


class Refusing(asyncio.Protocol):
    """Answers every client the same, and hangs up."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        assert isinstance(self._transport, asyncio.WriteTransport)
        self._transport.write(self._answer)
        self._transport.close()


FIELDS = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
STARTING_UP = b"E" + (len(FIELDS) + 4).to_bytes(4, "big") + FIELDS


@pytest.mark.parametrize("answer", [STARTING_UP, b""], ids=["starting up", "hanging up"])
async def test_a_server_that_is_starting_or_stopping_is_away(postgres: URL, answer: bytes) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Refusing(answer), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DatabaseAway):
            await check(postgres.set(host="127.0.0.1", port=port, query={}))


async def test_a_postgres_that_ended_a_connection_is_back_at_once(postgres: URL) -> None:
    async with opened(postgres) as database, opened(postgres) as other:
        async with database.read() as connection:
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        async with other.write() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        await database.check()


async def test_a_postgres_that_kills_a_connection_in_the_middle_is_away(postgres: URL) -> None:
    async def lose() -> None:
        async with opened(postgres) as database, database.write() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DatabaseAway):
        await lose()


async def test_a_full_pool_is_a_database_away(database_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_POOL_SIZE", 1)
    monkeypatch.setattr(engines, "_POOL_WAIT_SECONDS", 0.01)
    async with opened(database_url) as database:
        async with database.read():
            with pytest.raises(DatabaseAway):
                await database.check()
        await database.check()


async def test_a_locked_sqlite_is_a_database_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_BUSY_SECONDS", 0)
    url = parse_url(f"sqlite:///{tmp_path / 'portal.db'}")
    async with opened(url) as database, opened(url) as other:
        await other.check()
        async with database.write() as connection:
            await connection.execute(text("SELECT 1"))  # the lock comes with the first statement
            with pytest.raises(DatabaseAway):
                await _begin(other)
        await _begin(other)


async def _begin(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("SELECT 1"))


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(parse_url(f"sqlite:///{tmp_path / 'portal.db'}")) as database:
        yield database


async def test_writers_of_an_embedded_database_take_turns_in_the_order_they_came(embedded: Database) -> None:
    turns: list[int] = []

    async def write(number: int) -> None:
        async with embedded.write():
            turns.append(number)
            await embedded.check()  # who reads waits for nobody, and others come to the queue meanwhile

    await asyncio.gather(*(write(number) for number in range(30)))
    assert turns == list(range(30))


async def test_a_writer_whose_turn_does_not_come_is_told_so(
    embedded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "_TURN_SECONDS", 0.01)
    async with embedded.write():
        with pytest.raises(DatabaseAway):
            await embedded.write().__aenter__()
    async with embedded.write():
        await embedded.check()


async def test_who_comes_when_a_turn_is_just_given_to_another_waits_no_longer_either(
    embedded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, gates = [[asyncio.Event(), asyncio.Event()] for _ in range(2)]

    async def hold(number: int) -> None:
        async with embedded.write():
            turns[number].set()
            await gates[number].wait()

    held = asyncio.gather(hold(0), hold(1))
    await turns[0].wait()
    monkeypatch.setattr(writers, "_TURN_SECONDS", 0.01)
    gates[0].set()
    await turns[1].wait()
    with pytest.raises(DatabaseAway):
        await embedded.write().__aenter__()
    gates[1].set()
    await held


async def insert(database: Database, value: int) -> None:
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO t VALUES (:value)"), {"value": value})


async def table(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE t (x INTEGER)"))


async def values(database: Database) -> list[int]:
    async with database.read() as connection:
        return list((await connection.execute(text("SELECT x FROM t ORDER BY x"))).scalars())


async def test_a_sqlite_whose_file_is_gone_is_a_database_away_and_makes_no_other(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "portal.db", tmp_path / "elsewhere"
    async with opened(parse_url(f"sqlite:///{path}")) as database:
        await table(database)
        await insert(database, 1)
        path.rename(elsewhere)
        for value in (2, 3):
            with pytest.raises(DatabaseAway):
                await insert(database, value)
        assert not path.exists()
        elsewhere.rename(path)
        await insert(database, 4)
        assert await values(database) == [1, 4]


async def test_a_sqlite_whose_file_was_replaced_is_the_one_that_is_there(tmp_path: Path) -> None:
    path, other = tmp_path / "portal.db", tmp_path / "other.db"
    for made, value in ((other, 2), (path, 1)):
        async with opened(parse_url(f"sqlite:///{made}")) as database:
            await table(database)
            await insert(database, value)
    async with opened(parse_url(f"sqlite:///{path}")) as database:
        assert await values(database) == [1]
        other.replace(path)
        assert await values(database) == [2]


async def test_a_sqlite_that_may_only_be_read_is_a_database_away(tmp_path: Path) -> None:
    async def only_read(database: Database, *, on: int) -> None:
        async with database.read() as connection:
            await connection.execute(text(f"PRAGMA query_only = {on}"))

    async with opened(parse_url(f"sqlite:///{tmp_path / 'portal.db'}")) as database:
        await table(database)
        await only_read(database, on=1)
        with pytest.raises(DatabaseAway):
            await insert(database, 1)
        await only_read(database, on=0)
        await insert(database, 2)
        assert await values(database) == [2]


async def test_a_full_disk_is_told_apart_from_a_database_away(tmp_path: Path) -> None:
    async def fill(database: Database) -> None:
        async with database.write() as connection:
            await connection.execute(text("PRAGMA max_page_count = 10"))
            await connection.execute(text("CREATE TABLE t (x BLOB)"))
            await connection.execute(text("INSERT INTO t VALUES (zeroblob(1000000))"))

    async with opened(parse_url(f"sqlite:///{tmp_path / 'portal.db'}")) as database:
        with pytest.raises(StorageFull):
            await fill(database)


async def test_a_connection_that_can_only_read_is_given_up(tmp_path: Path) -> None:
    """Where a failing disk or too many open files keep SQLite from opening a file for writing, it opens it to read."""
    async with opened(parse_url(f"sqlite:///{tmp_path / 'portal.db'}")) as database:
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)"))
            await connection.execute(text("INSERT INTO counter VALUES (1, 0)"))
        async with database.read() as connection:
            await connection.execute(text("PRAGMA query_only = ON"))
        with pytest.raises(DatabaseAway):
            await _put_in(database, 7)
        assert _open_in(tmp_path) == []
        await _put_in(database, 7)
        assert await number(database) == 7


def _open_in(folder: Path) -> list[Path]:
    """What this process has open there."""
    numbers = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return [target for target in (entry.readlink() for entry in numbers) if target.is_relative_to(folder)]


async def _put_in(database: Database, value: int) -> None:
    async with database.write() as connection:
        await put(connection, value)


async def test_a_page_that_the_disk_does_not_give_is_a_database_away(tmp_path: Path) -> None:
    file = tmp_path / "portal.db"
    async with opened(parse_url(f"sqlite:///{file}")) as database, database.write() as connection:
        await connection.execute(text("CREATE TABLE t (x BLOB)"))
        await connection.execute(text("INSERT INTO t VALUES (zeroblob(100000))"))
    with file.open("r+b") as torn:
        torn.seek(4096)
        torn.write(b"\xff" * 4096)  # SQLite has one word for both
    async with opened(parse_url(f"sqlite:///{file}")) as database:
        with pytest.raises(DatabaseAway):
            await _count(database)


async def _count(database: Database) -> None:
    async with database.read() as connection:
        await connection.execute(text("SELECT count(*) FROM t"))


@pytest.mark.parametrize("sqlstate", ["08006", "40001", "40P01", "53300", "55P03", "57014", "57P01", "58030"])
async def test_what_a_later_try_may_not_meet_is_a_database_away(postgres: URL, sqlstate: str) -> None:
    async with opened(postgres) as database:
        with pytest.raises(DatabaseAway):
            await _raise(database, sqlstate)


async def test_a_postgres_whose_disk_is_full_is_told_apart_too(postgres: URL) -> None:
    async with opened(postgres) as database:
        with pytest.raises(StorageFull):
            await _raise(database, "53100")


@pytest.mark.parametrize("sqlstate", ["22021", "42P01", "XX000", "P0001"])
async def test_what_is_wrong_stays_wrong(postgres: URL, sqlstate: str) -> None:
    async with opened(postgres) as database:
        with pytest.raises(DBAPIError):
            await _raise(database, sqlstate)


async def _raise(database: Database, sqlstate: str) -> None:
    async with database.write() as connection:
        await connection.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$"))


async def test_an_error_does_not_show_what_was_written(database: Database) -> None:
    async with database.read() as connection:
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(text("SELECT * FROM nowhere WHERE name = :name"), {"name": "c4n4ry"})
    assert "c4n4ry" not in str(caught.value)


async def test_closing_twice_is_closing_once(database: Database) -> None:
    await database.check()
    await database.aclose()
    await database.aclose()


async def test_a_call_is_made_after_the_commit_and_never_without_it(database: Database) -> None:
    calls: list[str] = []
    with contextlib.suppress(ZeroDivisionError):
        async with database.write() as connection:
            after_commit(connection, lambda: calls.append("rolled back"))
            raise ZeroDivisionError
    async with database.write() as connection:
        after_commit(connection, lambda: calls.append("committed"))
        assert calls == []
    async with database.write():
        assert calls == ["committed"]
    assert calls == ["committed"]


async def test_a_call_is_made_after_a_commit_whose_caller_left_meanwhile(counter: Database) -> None:
    calls: list[str] = []
    loop = asyncio.get_running_loop()

    async def write() -> None:
        async with counter.write() as connection:
            after_commit(connection, lambda: calls.append("committed"))
            await put(connection, 7)
            event.listen(connection.sync_engine, "commit", lambda _: loop.call_soon_threadsafe(leaving.cancel))

    leaving = asyncio.create_task(write())
    await asyncio.wait([leaving])
    assert (leaving.cancelled(), calls) == (True, ["committed"])
    assert await number(counter) == 7
