"""`kill -9` of a process that gives files new keys: at each moment every file can be read, by its old key or the new.

Comes in: a portal with large and small files, which serves readers all the time. Leaves: how often the process was
killed, how many files it had done by then, how often they were read, and how many reads failed: none may.
"""

import hashlib
import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from portal import config
from portal.bootstrap import open_database

from .. import own_loop
from ..e2e.conftest import MakePortal, Served
from . import invariants
from .amounts import amount
from .conftest import Figures
from .postgres import OwnPostgres

SIZES = (0, 5, 3_000, 300_000, 1_100_000, 2_200_000, 1_048_520, 700_000)  # in rows, and of one segment to three
REENCRYPT = ("keys", "reencrypt", "--sealed-before", "2100-01-01")
RATE = ("--rate", "20")  # MiB a second: a round takes about a quarter of one
SOONEST, LATEST = 0.001, 0.3
PAUSE = 0.02  # seconds between two reads
PATIENCE_SECONDS = 60


class Reader:
    """A client who reads one file after the other, whole and by range, until it is told to stop."""

    def __init__(self, client: httpx.Client, files: dict[str, bytes]) -> None:
        self._client, self._files = client, files
        self.reads, self.over = 0, threading.Event()

    def read(self, file_id: str) -> None:
        content, path = self._files[file_id], f"/files/{file_id}/content"
        assert self._client.get(path).content == content
        if content:
            middle = len(content) // 2
            answer = self._client.get(path, headers={"Range": f"bytes={middle}-"})
            assert (answer.status_code, answer.content) == (206, content[middle:])
        self.reads += 1

    def read_all(self) -> None:
        for file_id in self._files:
            self.read(file_id)

    def read_on(self) -> None:
        for file_id in itertools.cycle(self._files):
            if self.over.is_set():
                return
            self.read(file_id)
            time.sleep(PAUSE)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(self.read_on)
            try:
                yield
            finally:
                self.over.set()
        reading.result()


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_no_kill_leaves_a_file_that_cannot_be_read(
    make_portal: MakePortal, database: str, request: pytest.FixtureRequest, figures: Figures
) -> None:
    portal, kills = served(make_portal, database, request), amount("REENCRYPT_KILLS")
    draws, files = random.Random(), dict[str, bytes]()  # noqa: S311  # draws, no secrets
    with portal.client("analyst") as client:
        for size in SIZES:
            content = draws.randbytes(size)
            files[client.put("/upload/a.bin", content=content).json()["id"]] = content
        before = {file_id: client.get(f"/files/{file_id}").json() for file_id in files}
        reader, done_by_then = Reader(client, files), 0
        with reader.at_work():
            for _ in range(kills):
                killed(portal, draws)
                done_by_then += done(portal)
                reader.read_all()
        finish(portal)
        reader.read_all()
        assert {file_id: client.get(f"/files/{file_id}").json() for file_id in files} == before
    assert portal.stop() == 0
    assert ask(portal, "SELECT min(key_generation) FROM blobs WHERE goes_at IS NULL")[0][0] > 1
    digests = {file_id: hashlib.sha256(content).hexdigest() for file_id, content in files.items()}
    invariants.assert_whole(portal, invariants.settled(portal), digests)
    figures(database=database, kills=kills, files=done_by_then, reads=reader.reads, unreadable=0)


def served(make_portal: MakePortal, database: str, request: pytest.FixtureRequest) -> Served:
    """A portal that leaves jobs to commands."""
    settings = {"MAX_JOBS": "0"}
    if database == "postgres":
        own: OwnPostgres = request.getfixturevalue("own_postgres")
        settings |= {"DATABASE_URL": own.url, "DATABASE_SSL_MODE": "disable"}
    portal = make_portal(**settings)
    portal.prepare(analyst="analyst")
    portal.start()
    return portal


def killed(portal: Served, draws: random.Random) -> None:
    """Have the process killed at a moment after it has begun to write, and its lease be over, as a minute later."""
    process = portal.spawn("reencrypt.log", *REENCRYPT, *RATE)
    until = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and not is_writing(portal) and time.monotonic() < until:
        time.sleep(0.001)
    time.sleep(SOONEST * (LATEST / SOONEST) ** draws.random())
    process.kill()
    process.wait(PATIENCE_SECONDS)
    ask(portal, "UPDATE jobs SET lease_until = started_at WHERE status = 'running'")


def is_writing(portal: Served) -> bool:
    return any((portal.folder / "var" / "store" / "tmp").iterdir())


def done(portal: Served) -> int:
    """How many files the unfinished job has done, or the last one did."""
    last = "SELECT checkpoint FROM jobs WHERE kind = 'files.reencrypt' ORDER BY created_at DESC LIMIT 1"
    rows = ask(portal, last)
    return int(json.loads(rows[0][0] or "{}").get("files", 0)) if rows else 0


def finish(portal: Served) -> None:
    """What a dead process wrote goes, and a command that nobody kills goes on."""
    of_the_dead = "UPDATE blobs SET goes_at = (SELECT created_at FROM files WHERE files.id = blobs.file_id)"
    ask(portal, f"{of_the_dead} WHERE goes_at IS NOT NULL AND data_key_id IS NULL")
    assert json.loads(portal.cli(*REENCRYPT, "--json").stdout)["status"] == "done"


def ask(portal: Served, statement: str) -> list[Any]:
    """What the database answers, of either kind."""

    async def answer() -> list[Any]:
        settings, _ = config.load(portal.environment, portal.folder / ".env")
        database = open_database(settings)
        try:
            async with database.write() as connection:
                found = await connection.execute(text(statement))
                return list(found) if found.returns_rows else []
        finally:
            await database.aclose()

    return own_loop.run(answer())
