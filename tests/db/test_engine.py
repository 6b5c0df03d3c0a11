"""Engines: set up so that an acknowledged write is on disk, and never telling the URL they were made of."""

import ssl
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from portal.core.errors import ConfigError
from portal.db.connection import Engine
from portal.db.engine import SslMode, _ssl, is_local, make_engine, parse_url

CANARY = "c4n4ry"


async def pragma(engine: Engine, name: str) -> object:
    async with engine.read() as connection:
        return await connection.scalar(text(f"PRAGMA {name}"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("secure_delete", 1),
        ("foreign_keys", 1),
        ("temp_store", 2),
        ("busy_timeout", 0),
    ],
)
async def test_sqlite_keeps_what_it_acknowledged_and_no_copy_of_what_it_destroyed(
    tmp_path: Path, name: str, value: object
) -> None:
    engine = make_engine(parse_url(f"sqlite:///{tmp_path / 'portal.db'}"), "disable")
    try:
        assert await pragma(engine, name) == value
    finally:
        await engine.dispose()


async def test_every_connection_of_sqlite_is_set_up(tmp_path: Path) -> None:
    engine = make_engine(parse_url(f"sqlite:///{tmp_path / 'portal.db'}"), "disable")
    try:
        async with engine.write() as one, engine.read() as two:
            found = [await connection.scalar(text("PRAGMA synchronous")) for connection in (one, two)]
    finally:
        await engine.dispose()
    assert found == [2, 2]


@pytest.mark.parametrize("changeable_url", ["postgres"], indirect=True)  # SQLite has one way alone
async def test_statements_see_what_was_committed_whatever_the_database_prefers(changeable_url: URL) -> None:
    engine = make_engine(changeable_url, "disable")
    async with engine.write() as connection:
        name = changeable_url.database
        await connection.execute(
            text(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'")
        )
    await engine.dispose()
    async with engine.write() as connection:
        assert await connection.scalar(text("SHOW transaction_isolation")) == "read committed"
    await engine.dispose()


async def test_a_read_on_postgres_begins_no_transaction(postgres: URL) -> None:
    engine = make_engine(postgres, "disable")
    try:
        async with engine.read() as connection:
            first, second = [await connection.scalar(text("SELECT now()")) for _ in range(2)]  # of the transaction
        async with engine.write() as connection:
            third, fourth = [await connection.scalar(text("SELECT now()")) for _ in range(2)]
    finally:
        await engine.dispose()
    assert first < second < third == fourth


async def test_postgres_is_as_durable_as_it_can_be(postgres: URL) -> None:
    engine = make_engine(postgres, "disable")
    try:
        async with engine.read() as connection:
            assert (await connection.execute(text("SHOW synchronous_commit"))).scalar_one() == "on"
    finally:
        await engine.dispose()


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:///x.db", "sqlite+pysqlite"),
        ("sqlite+aiosqlite:///x.db", "sqlite+pysqlite"),
        ("postgres://u:p@h/d", "postgresql+asyncpg"),
        ("postgresql://u:p@h:5432/d", "postgresql+asyncpg"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql+asyncpg"),
    ],
)
def test_a_url_gets_the_driver_the_portal_uses(given: str, driver: str) -> None:
    assert parse_url(given).drivername == driver


def test_a_url_keeps_everything_else() -> None:
    url = parse_url("postgresql://user:p%40ss@db.example.org:5433/portal")
    assert (url.username, url.password, url.host, url.port) == ("user", "p@ss", "db.example.org", 5433)
    assert url.database == "portal"


@pytest.mark.parametrize(
    "url",
    [
        "",
        CANARY,
        f"postgresql:{CANARY}",
        f"://u:{CANARY}@h/d",
        f"mysql://u:{CANARY}@h/d",
        f"postgresql+psycopg://u:{CANARY}@h/d",
        f"sqlite+pysqlcipher://:{CANARY}@/x",
        f"oracle://u:{CANARY}@h/d",
        f"POSTGRESQL://u:{CANARY}@h/d",
        f" postgresql://u:{CANARY}@h/d",
        f"http://u:{CANARY}@h/d",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        f"postgresql://u:{CANARY}@h:port/d",
        f"postgresql://u:{CANARY}@[::1/d",
        f"postgresql://u:{CANARY}@h/d?sslmode=require",
        f"postgresql://u:{CANARY}@h/d?pool=5",
    ],
)
def test_a_url_that_nothing_knows_is_refused_without_an_echo(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    (problem,) = caught.value.problems
    assert problem.startswith("PORTAL_DATABASE_URL")
    assert CANARY not in problem


def test_an_unknown_scheme_is_told_beside_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown scheme 'mysql'; known: sqlite, postgresql"):
        parse_url("mysql://u:p@h/d")


LOCAL = {
    "sqlite:////srv/portal.db": True,
    "postgresql:///d": True,
    "postgresql://u:p@localhost/d": True,
    "postgresql://u:p@127.0.0.1:5433/d": True,
    "postgresql://u:p@[::1]/d": True,
    "postgresql://u@/d?host=/run/postgresql": True,
    "postgresql://u@elsewhere/d?host=/run/postgresql": True,
    "postgresql://u@/d?host=localhost": True,
    "postgresql://u:p@db.example.org/d": False,
    "postgresql://u:p@10.0.0.5/d": False,
    "postgresql://u:p@0.0.0.0/d": False,
    "postgresql://u:p@[2001:db8::1]/d": False,
    "postgresql://u:p@localhost.example.org/d": False,
    "postgresql://u@localhost/d?host=db.example.org": False,
    "postgresql://u@/d?host=localhost,db.example.org": False,
    "postgresql://u@/d?host=a.example.org&host=b.example.org": False,
    "postgresql://u@/d?host=localhost&host=b.example.org": False,
    "postgresql://u@/d?host=localhost&host=127.0.0.1": True,
}


@pytest.mark.parametrize(("url", "local"), LOCAL.items(), ids=LOCAL)
def test_local_is_a_file_a_socket_or_this_very_machine(url: str, *, local: bool) -> None:
    assert is_local(parse_url(url)) is local


@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
def test_weak_tls_modes_are_the_drivers_business(mode: SslMode) -> None:
    assert _ssl(mode, None) == mode


def test_strong_tls_modes_verify_the_certificate() -> None:
    full, authority = _ssl("verify-full", None), _ssl("verify-ca", None)
    assert isinstance(full, ssl.SSLContext)
    assert isinstance(authority, ssl.SSLContext)
    assert full.verify_mode is authority.verify_mode is ssl.CERT_REQUIRED
    assert (full.check_hostname, authority.check_hostname) == (True, False)


def test_an_engine_does_not_show_its_password() -> None:
    engine = make_engine(parse_url(f"postgresql://u:{CANARY}@h/d"), "require")
    assert CANARY not in repr(engine) + str(engine.url)
