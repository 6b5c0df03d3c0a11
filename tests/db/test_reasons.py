"""Why a database is away: each cause told apart, with its place, and never a password. On a real Postgres."""

import asyncio
import re
import socket
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from portal import schema
from portal.core.errors import ConfigError, PortalError, StorageFull, Unavailable
from portal.db import reasons
from portal.db.engine import SslMode, make_engine, parse_url
from portal.db.unit_of_work import Database, DatabaseAway

from ..own_tls import Authority, fronted

CANARY = "c4n4ry"


def reach(server: URL) -> Callable[[], socket.socket]:
    """How to connect to the tests' Postgres, which listens on a socket in a folder."""
    folder = server.query["host"]

    def connect() -> socket.socket:
        end = socket.socket(socket.AF_UNIX)
        end.connect(f"{folder}/.s.PGSQL.{server.port or 5432}")
        return end

    return connect


async def told(url: str | URL, mode: SslMode = "disable") -> PortalError:
    engine = make_engine(parse_url(url) if isinstance(url, str) else url, mode)
    try:
        with pytest.raises(PortalError) as caught:
            await schema.require_current(engine)
    finally:
        await engine.dispose()
    assert CANARY not in str(caught.value)
    return caught.value


@pytest.fixture
async def user(postgres: URL) -> AsyncIterator[str]:
    """A user of the server who has to give a password."""
    name = f"user_{uuid.uuid4().hex}"
    plain = postgres.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    path, before = await connection.fetchrow("SELECT current_setting('hba_file'), pg_read_file('pg_hba.conf')")
    await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{CANARY}'")
    await asyncio.to_thread(Path(path).write_text, f"local all {name} scram-sha-256\n{before}")
    await connection.execute("SELECT pg_reload_conf()")
    yield name
    await asyncio.to_thread(Path(path).write_text, before)
    await connection.execute("SELECT pg_reload_conf()")
    await connection.execute(f"DROP ROLE {name}")
    await connection.close()


async def test_a_wrong_password_is_the_operators(postgres: URL, user: str) -> None:
    with fronted(reach(postgres), None) as port:
        url = f"postgresql://{user}:not-{CANARY}@127.0.0.1:{port}/postgres"
        error = await told(url)
    assert isinstance(error, ConfigError)
    assert str(error) == f"the database postgres at 127.0.0.1:{port}: the user or the password is wrong"


async def test_a_missing_database_is_the_operators(postgres: URL) -> None:
    error = await told(postgres.set(database="nowhere"))
    assert isinstance(error, ConfigError)
    assert str(error) == f"the database nowhere in {postgres.query['host']}: the server has no database of that name"


async def test_an_unknown_host_may_come_back() -> None:
    error = await told(f"postgresql://u:{CANARY}@host.invalid/d")
    assert isinstance(error, DatabaseAway)
    assert str(error) == "the database d at host.invalid:5432: no host of that name is known; try again"


async def test_a_refused_port_may_come_back() -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        error = await told(f"postgresql://u:{CANARY}@127.0.0.1:{port}/d")
    assert isinstance(error, DatabaseAway)
    assert str(error) == f"the database d at 127.0.0.1:{port}: nothing listens there (connection refused); try again"


async def test_a_silent_port_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.db.engine._CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await told(f"postgresql://u:{CANARY}@127.0.0.1:{silent.getsockname()[1]}/d")
    assert isinstance(error, DatabaseAway)
    assert str(error).endswith(": no answer in time; try again")


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_an_untrusted_certificate_is_the_operators(postgres: URL, tmp_path: Path, mode: SslMode) -> None:
    with fronted(reach(postgres), Authority(tmp_path).issue("localhost"), postgres=True) as port:
        error = await told(f"postgresql://postgres:{CANARY}@localhost:{port}/postgres", mode)
    assert isinstance(error, ConfigError)
    assert re.fullmatch(
        rf"the database postgres at localhost:{port}: its certificate is not trusted \(.*certificate.*\)", str(error)
    )


async def test_a_server_without_tls_is_the_operators(postgres: URL) -> None:
    with fronted(reach(postgres), None) as port:
        error = await told(f"postgresql://postgres:{CANARY}@localhost:{port}/postgres", "require")
    assert isinstance(error, ConfigError)
    assert str(error) == f"the database postgres at localhost:{port}: the server offers no TLS"


async def test_a_socket_that_is_not_there_may_come_back(tmp_path: Path) -> None:
    error = await told(f"postgresql://u:{CANARY}@/d?host={tmp_path}")
    assert isinstance(error, DatabaseAway)
    assert str(error) == f"the database d in {tmp_path}: No such file or directory; try again"


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no database": (lambda path: path.write_text("a text of some length\n" * 9), "the file is no SQLite database"),
    "a folder": (lambda path: path.mkdir(), "the file cannot be opened"),
}


@pytest.mark.parametrize(("make", "why"), FILES.values(), ids=FILES)
async def test_a_file_that_is_none_is_the_operators(tmp_path: Path, make: Callable[[Path], object], why: str) -> None:
    make(tmp_path / "portal.db")
    error = await told(f"sqlite:///{tmp_path}/portal.db")
    assert isinstance(error, ConfigError)
    assert str(error) == f"the database {tmp_path}/portal.db: {why}"


async def test_a_bug_in_a_statement_is_no_reason() -> None:
    url = parse_url("postgresql:///d")
    with pytest.raises(DBAPIError), reasons.explained(url):
        raise DBAPIError("SELEC 1", {}, _Fault("42601"))


class _Fault(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__(CANARY)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(("state", "for_operator"), [(state, told[1]) for state, told in reasons._STATES.items()])
def test_every_state_is_the_operators_or_passes(state: str, *, for_operator: bool) -> None:
    kind: Any = ConfigError if for_operator else DatabaseAway
    with pytest.raises(kind) as caught, reasons.explained(parse_url("postgresql://u@h/d")):
        raise DBAPIError(None, None, _Fault(state))
    assert str(caught.value).startswith(f"the database d at h:5432: {reasons._STATES[state][0]}")


CAUSES: dict[str, tuple[BaseException, str]] = {
    "a state": (DBAPIError(None, None, _Fault("57P01")), "the server is stopping"),
    "an unknown state": (DBAPIError(None, None, _Fault("XX000")), "SQLSTATE XX000"),
    "a disk": (OSError(5, "Input/output error", CANARY), "Input/output error"),
    "no more than a kind": (ValueError(CANARY), "ValueError"),
}


@pytest.mark.parametrize(("first", "why"), CAUSES.values(), ids=CAUSES)
def test_a_reason_is_that_of_the_error_that_was_first(first: BaseException, why: str) -> None:
    with pytest.raises(Unavailable) as caught:
        raise Unavailable from first
    assert reasons.reason(caught.value) == why
    assert reasons.reason(StorageFull()) == StorageFull.title


async def test_a_database_that_leaves_in_service_has_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "portal.db"
    database = Database(make_engine(parse_url(f"sqlite:///{path}"), "disable"))
    await database.check()
    await asyncio.to_thread(path.unlink)
    with pytest.raises(DatabaseAway) as caught:
        await database.check()
    assert reasons.reason(caught.value) == "No such file or directory"
    await database.aclose()


async def test_a_file_system_without_a_write_ahead_log_is_the_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    without_shared_memory = partial(connect, f"file:{tmp_path}/portal.db?vfs=unix-none", uri=True)
    monkeypatch.setattr(sqlite3, "connect", lambda _, **given: without_shared_memory(**given))
    error = await told(f"sqlite:///{tmp_path}/portal.db")
    assert isinstance(error, ConfigError)
    assert str(error) == f"the database {tmp_path}/portal.db: its file system cannot have SQLite's write-ahead log"
