"""Short reasons for the failure of a database or another part: for operators, never for callers of the API.

Comes in: an exception. Leaves: a few words without secrets, for the log and the command line. They come from the tables
below, or are the system's text for an error number. A library's own message is not used: it may contain a URL, a
statement or a name.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from portal.core.errors import ConfigError, PortalError
from portal.db.unit_of_work import DatabaseAway, translate

_STATES: Final = {  # SQLSTATE: (its meaning, whether only an operator can fix it)
    "28P01": ("the user or the password is wrong", True),
    "28000": ("the server refuses this user, or this user from this address", True),
    "3D000": ("the server has no database of that name", True),
    "42501": ("the user lacks a right on the tables (see `portal db upgrade --runtime-role`)", True),
    "53100": ("the server's disk is full", False),
    "53300": ("the server has no connection left", False),
    "57P03": ("the server is starting or stopping", False),
    "57P01": ("the server is stopping", False),
}
_SQLITE: Final = {
    "unable to open database file": ("the file cannot be opened", True),
    "file is not a database": ("the file is no SQLite database", True),
    "attempt to write a readonly database": ("the file cannot be written", True),
    "no write-ahead log": ("its file system cannot have SQLite's write-ahead log", True),
    "database is locked": ("another process holds it", False),
    "disk image is malformed": ("the file is damaged, or its disk is", False),
    "disk I/O error": ("its disk does not answer as it should", False),
    "database or disk is full": ("its disk is full", False),
}


def reason(error: BaseException) -> str:
    """The reason of an error: taken from its root cause, in known words where the kind of error is known."""
    return _judged(_root(error))[0]


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """For the command line: within the block, a database error becomes a message with the database's location and the
    reason.

    Raises ConfigError where only an operator can fix it (settings, rights), DatabaseAway where a later try may succeed.
    """
    try:
        yield
    except (DatabaseAway, DBAPIError, OSError, PoolTimeoutError) as error:
        why, for_operator = _judged(_root(error))
        if not for_operator and not isinstance(error, DatabaseAway) and translate(error) is None:
            raise
        text = f"the database {place(url)}: {why}"
        raise (ConfigError(text) if for_operator else DatabaseAway(f"{text}; try again")) from error


def place(url: URL) -> str:
    """The location of a database, without user and password: a path, or a name with host and port."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.query.get("host") or url.host or "localhost"
    name = host if isinstance(host, str) else host[0]
    return f"{url.database} in {name}" if name.startswith("/") else f"{url.database} at {name}:{url.port or 5432}"


def _root(error: BaseException) -> BaseException:
    """The root cause: the exception below the portal's own errors and SQLAlchemy's wrappers."""
    while isinstance(error, PortalError | DBAPIError):
        below = error.orig if isinstance(error, DBAPIError) else error.__cause__
        if below is None:
            return error
        error = below
    return error


def _judged(error: BaseException) -> tuple[str, bool]:
    """(reason, whether only an operator can fix it)."""
    state = getattr(error, "sqlstate", None)
    if state:
        return _STATES.get(str(state), (f"SQLSTATE {state}", False))
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})", True
    if isinstance(error, ssl.SSLError):
        return "no TLS connection came about", True
    if isinstance(error, TimeoutError | PoolTimeoutError):
        return "no answer in time", False
    return _of_system(error) if isinstance(error, OSError) else _of_sqlite(error)


def _of_system(error: OSError) -> tuple[str, bool]:
    if isinstance(error, socket.gaierror):
        return "no host of that name is known", False  # or the name server is unavailable
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)", False
    if isinstance(error, ConnectionError) and "rejected SSL" in str(error):
        return "the server offers no TLS", True
    return error.strerror or type(error).__name__, False


def _of_sqlite(error: BaseException) -> tuple[str, bool]:
    found = next((told for words, told in _SQLITE.items() if words in str(error)), None)
    return found or (_own_words(error), False)


def _own_words(error: BaseException) -> str:
    return (error.reason or str(error)) if isinstance(error, PortalError) else type(error).__name__
