"""One engine per process, for SQLite or Postgres, set up so that an acknowledged write is on disk.

Comes in: a database URL (it may hold a password: a secret everywhere). Leaves: an `AsyncEngine`. Next: `unit_of_work`.
"""

import os
import sqlite3
import ssl
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from portal.core.errors import ConfigError
from portal.db import sqlite

SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
READ_ONLY: Final = "portal_read_only"  # execution option: BEGIN without taking SQLite's write lock

_DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
_OPTIONS: Final = {"host"}  # a socket's folder; everything else is a setting
_BUSY_SECONDS = 10
_POOL_SIZE = 10
_POOL_WAIT_SECONDS = 5
_COMMAND_SECONDS = 30
_CONNECT_SECONDS = 5


def parse_url(text: str) -> URL:
    """The URL with the driver the portal uses. Raises ConfigError (never echoing it) for what it does not know."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError("PORTAL_DATABASE_URL is not a database URL") from None
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise ConfigError(f"PORTAL_DATABASE_URL: unknown scheme {url.drivername!r}; known: sqlite, postgresql")
    if url.get_backend_name() == "sqlite" and (not url.database or url.database == ":memory:"):
        raise ConfigError("PORTAL_DATABASE_URL: SQLite wants a file, as sqlite:///absolute/path")
    unknown = sorted(set(url.query) - _OPTIONS)
    if unknown:
        raise ConfigError(f"PORTAL_DATABASE_URL: unknown option {unknown[0]!r}; known: {', '.join(_OPTIONS)}")
    return url.set(drivername=driver)


def is_local(url: URL) -> bool:
    """Whether the database is a file, a socket or this very machine, so that no wire needs TLS."""
    hosts = url.query.get("host", url.host or "localhost")
    return url.get_backend_name() == "sqlite" or all(
        host.startswith("/") or host in {"localhost", "127.0.0.1", "::1"}
        for host in ((hosts,) if isinstance(hosts, str) else hosts)
    )


def make_engine(url: URL, ssl_mode: SslMode) -> AsyncEngine:
    """An engine that has not connected yet."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    return create_async_engine(
        url,
        hide_parameters=True,  # they hold names and hashes, and errors go to the log
        pool_pre_ping=True,
        pool_recycle=300,
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_SECONDS,
        connect_args={"ssl": _ssl(ssl_mode), "timeout": _CONNECT_SECONDS, "command_timeout": _COMMAND_SECONDS},
    )


def _sqlite(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url,
        connect_args={"async_creator_fn": sqlite.connect},
        hide_parameters=True,
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_SECONDS,
        pool_use_lifo=True,  # what wrote last has the pages that the next one needs
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    event.listen(engine.sync_engine, "handle_error", _give_up_read_only)
    file = _OneFile(Path(url.database or ""))
    event.listen(engine.sync_engine, "do_connect", file.before_connect)
    event.listen(engine.sync_engine, "connect", file.connected)
    event.listen(engine.sync_engine, "checkout", file.checkout)
    return engine


class _OneFile:
    """Keeps an engine at the file that it found first, or made.

    Left alone, SQLite goes on writing to a file that was moved away or removed, and makes an empty one in its place for
    every connection that comes later: what is acknowledged then is lost. So the database is away until a file is back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found = False

    def before_connect(self, *_: Any) -> None:
        """Raises FileNotFoundError where there was a file and is none."""
        if self._found:
            self._path.stat()

    def connected(self, _: DBAPIConnection, entry: Any) -> None:
        entry.info["file"] = self._path.stat()
        self._found = True

    def checkout(self, _: DBAPIConnection, entry: Any, __: Any) -> None:
        """Raises DisconnectionError, which gives a new connection, for one whose file is not there any more."""
        if not (self._path.exists() and os.path.samestat(self._path.stat(), entry.info["file"])):
            raise DisconnectionError


def _prepare_sqlite(connection: DBAPIConnection, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_SECONDS * 1000}",
        "journal_mode=WAL",
        "synchronous=FULL",  # an acknowledged commit survives a power cut
        "foreign_keys=ON",
        "secure_delete=ON",  # a destroyed key leaves no copy in free pages
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    # A deferred transaction that turns into a writer fails at once with "database is locked": writers say so first.
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql(sqlite.BEGIN_TO_READ if read_only else sqlite.BEGIN_TO_WRITE)


def _give_up_read_only(context: ExceptionContext) -> None:
    """What SQLite could not open for writing it opened for reading: the next one who asks gets a new connection.

    After any other error the connection stays: one that lost an fsync writes the same place again at its next commit,
    while a new one would believe what was written there and build on it.
    """
    code = getattr(context.original_exception, "sqlite_errorcode", sqlite3.SQLITE_OK)
    if code & 0xFF != sqlite3.SQLITE_READONLY:  # the rest of the code says why
        return
    if context.execution_context is not None and context.execution_context.cursor is not None:
        context.execution_context.cursor.close()  # as long as a statement is left, SQLite keeps its files open
    context.is_disconnect = True


def _ssl(mode: SslMode) -> ssl.SSLContext | str:
    if mode == "verify-full":
        return ssl.create_default_context()
    if mode == "verify-ca":
        context = ssl.create_default_context()
        context.check_hostname = False
        return context
    return mode
