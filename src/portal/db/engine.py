"""One engine per process, for SQLite or Postgres, configured so that an acknowledged write is on disk.

Comes in: a database URL. It may contain a password, so it is a secret: it appears in no log and no error.
Leaves: an `Engine`. Next: `unit_of_work`.
"""

import ssl
from pathlib import Path
from typing import Final, Literal

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from portal.core.errors import ConfigError
from portal.core.tls import verifying_context
from portal.db.connection import Engine
from portal.db.postgres import PostgresEngine
from portal.db.sqlite.engine import DRIVER, SqliteEngine

SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
_DRIVERS: Final = {
    "sqlite": DRIVER,
    "sqlite+aiosqlite": DRIVER,
    DRIVER: DRIVER,
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


def make_engine(url: URL, ssl_mode: SslMode, authorities: Path | None = None) -> Engine:
    """An engine that has not connected yet.

    `authorities`, if given, is a PEM file that replaces the system's certificate authorities. Raises ConfigError where
    it cannot be read.
    """
    if url.get_backend_name() == "sqlite":
        return SqliteEngine(url, pool_size=_POOL_SIZE, pool_seconds=_POOL_WAIT_SECONDS, busy_seconds=_BUSY_SECONDS)
    return PostgresEngine(_postgres(url, _ssl(ssl_mode, authorities)))


def _postgres(url: URL, tls: ssl.SSLContext | str) -> AsyncEngine:
    return create_async_engine(
        url,
        isolation_level="READ COMMITTED",  # the statements rely on it, whatever the default of the database is
        hide_parameters=True,  # parameters contain names and hashes, and errors go to the log
        pool_pre_ping=True,
        pool_recycle=300,
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_SECONDS,
        connect_args={"ssl": tls, "timeout": _CONNECT_SECONDS, "command_timeout": _COMMAND_SECONDS},
    )


def _ssl(mode: SslMode, authorities: Path | None) -> ssl.SSLContext | str:
    if not mode.startswith("verify-"):
        return mode
    context = verifying_context("PORTAL_DATABASE_CA", authorities)
    context.check_hostname = mode == "verify-full"
    return context
