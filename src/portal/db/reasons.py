"""Why a database, or another part, did not do what it was asked: for operators, never for callers.

Comes in: an exception. Leaves: a few words without a secret, for the log and the command line. They are ours, or the
system's for an error number: what a library says may hold a URL, a statement or a name.
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

_STATES: Final = {  # SQLSTATE: what it means, and whether only an operator can mend it
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
    "database is locked": ("another process holds it", False),
    "disk image is malformed": ("the file is damaged, or its disk is", False),
    "disk I/O error": ("its disk does not answer as it should", False),
    "database or disk is full": ("its disk is full", False),
}


def reason(error: BaseException) -> str:
    """Why: from the error that was there first, as far as its kind is known."""
    return _judged(_root(error))[0]


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """For a command: a database that cannot be used is told with its place and the reason.

    Raises ConfigError where only other settings or rights help, DatabaseAway where a later try may.
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
    """Where a database is, without user and password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.query.get("host") or url.host or "localhost"
    name = host if isinstance(host, str) else host[0]
    return f"{url.database} in {name}" if name.startswith("/") else f"{url.database} at {name}:{url.port or 5432}"


def _root(error: BaseException) -> BaseException:
    """What our errors and SQLAlchemy's are wrapped around."""
    while isinstance(error, PortalError | DBAPIError):
        below = error.orig if isinstance(error, DBAPIError) else error.__cause__
        if below is None:
            return error
        error = below
    return error


def _judged(error: BaseException) -> tuple[str, bool]:
    """The reason, and whether only an operator can mend it."""
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
        return "no host of that name is known", False  # or its name server is away
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)", False
    if isinstance(error, ConnectionError) and "rejected SSL" in str(error):
        return "the server offers no TLS", True
    return error.strerror or type(error).__name__, False


def _of_sqlite(error: BaseException) -> tuple[str, bool]:
    found = next((told for words, told in _SQLITE.items() if words in str(error)), None)
    return found or (str(error) if isinstance(error, PortalError) else type(error).__name__, False)
