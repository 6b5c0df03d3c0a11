"""One engine per process, for SQLite or Postgres, configured so that an acknowledged write is on disk.

Comes in: a database URL. It may contain a password, so it is a secret: it appears in no log and no error.
Leaves: an `AsyncEngine`. Next: `unit_of_work`.
"""

import os
import ssl
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from portal.core.errors import ConfigError
from portal.core.tls import verifying_context
from portal.db import sqlite

SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
_DRIVERS: Final = {
    "sqlite": sqlite.DRIVER,
    "sqlite+aiosqlite": sqlite.DRIVER,
    sqlite.DRIVER: sqlite.DRIVER,
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_OPTIONS: Final = {"host"}  # the folder of a Unix socket; any other option is a setting of the portal
_BUSY_SECONDS = 10
_POOL_SIZE = 10
_POOL_WAIT_SECONDS = 5
_COMMAND_SECONDS = 30
_CONNECT_SECONDS = 5


def parse_url(text: str) -> URL:
    """The URL with the driver that the portal uses.

    Raises ConfigError for a malformed URL, an unknown scheme or option, or SQLite without a file. The error never
    contains the URL.
    """
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
    """Whether the database is a file, a Unix socket or on the loopback, so that the connection needs no TLS."""
    hosts = url.query.get("host", url.host or "localhost")
    return url.get_backend_name() == "sqlite" or all(
        host.startswith("/") or host in LOCAL_HOSTS for host in ((hosts,) if isinstance(hosts, str) else hosts)
    )


def make_engine(url: URL, ssl_mode: SslMode, authorities: Path | None = None) -> AsyncEngine:
    """An engine that has not connected yet.

    `authorities`, if given, is a PEM file that replaces the system's certificate authorities. Raises ConfigError where
    it cannot be read.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    return create_async_engine(
        url,
        isolation_level="READ COMMITTED",  # the statements rely on it, whatever the default of the database is
        hide_parameters=True,  # parameters contain names and hashes, and errors go to the log
        pool_pre_ping=True,
        pool_recycle=300,
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_SECONDS,
        connect_args={
            "ssl": _ssl(ssl_mode, authorities),
            "timeout": _CONNECT_SECONDS,
            "command_timeout": _COMMAND_SECONDS,
        },
    )


def _sqlite(url: URL) -> AsyncEngine:
    # Only pool events: a listener on the engine or the dialect would cost time at every statement.
    file = SameFileGuard(Path(url.database or ""))
    engine = create_async_engine(
        url,
        connect_args={"async_creator_fn": file.connect},
        hide_parameters=True,
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_SECONDS,
        pool_use_lifo=True,  # the connection that was used last has the pages in its cache that the next user needs
    )
    event.listen(engine.sync_engine, "connect", file.connected)
    event.listen(engine.sync_engine, "checkout", file.checkout)
    return engine


class SameFileGuard:
    """Ensures that every SQLite connection of an engine uses the file that its path names now.

    Without it, SQLite goes on writing to a file that was moved away or removed, and a later connection creates an empty
    file in its place: writes acknowledged then are lost. With it, the database is unavailable until a file is back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found = False

    def connect(self, path: str, **options: Any) -> sqlite.SqliteConnection:
        """A new connection; the first one may create the file.

        Raises FileNotFoundError if there was a file before and is none now.
        """
        if self._found:
            self._path.stat()
        return sqlite.connect(path, _pragmas(), **options)

    def connected(self, _: DBAPIConnection, entry: Any) -> None:
        """Remember which file (device and inode) the new connection opened."""
        entry.info["file"] = self._path.stat()
        self._found = True

    def checkout(self, _: DBAPIConnection, entry: Any, __: Any) -> None:
        """Raises DisconnectionError for a connection whose file is no longer at the path: the pool replaces it."""
        try:
            same = os.path.samestat(os.stat(self._path), entry.info["file"])  # noqa: PTH116  # for every transaction
        except OSError:
            same = False
        if not same:
            raise DisconnectionError


def _pragmas() -> tuple[str, ...]:
    return (
        f"busy_timeout={_BUSY_SECONDS * 1000}",
        "journal_mode=WAL",
        "synchronous=FULL",  # an acknowledged commit survives a power cut
        "foreign_keys=ON",
        "secure_delete=ON",  # a destroyed key leaves no copy in free pages
    )


def _ssl(mode: SslMode, authorities: Path | None) -> ssl.SSLContext | str:
    if not mode.startswith("verify-"):
        return mode
    context = verifying_context("PORTAL_DATABASE_CA", authorities)
    context.check_hostname = mode == "verify-full"
    return context
