"""The database goes away, at once and in the middle of everything, and comes back: the portal outlives it.

Nothing that was acknowledged is lost, nothing is there twice, who asks meanwhile is told when to come again, a running
download goes on, and no process has to be started again.
"""

import hashlib
import json
import secrets
from collections import Counter
from typing import Any

import httpx

from ..e2e.conftest import MakePortal, Served
from ..e2e.raw import Wire, bearer, head
from ..e2e.seen import eventually, problem, rows
from . import invariants
from .amounts import amount
from .conftest import Figures
from .crowd import Crowd
from .postgres import OwnPostgres

BIG = 24 << 20  # more than the sockets on the way hold
BUFFER = 1 << 18
REFUSED = 30  # requests that have to be refused before the database may come back


class SlowDownload:
    """A download by a client that reads when it is told to."""

    def __init__(self, wire: Wire, client: httpx.Client, file: str) -> None:
        wire.send(head("GET", f"/api/v1/files/{file}/content", bearer(client)))
        self._wire, self._digest, self._left = wire, hashlib.sha256(), 0
        start = b""
        while b"\r\n\r\n" not in start:
            start += wire.read(1 << 12)
        told, _, body = start.partition(b"\r\n\r\n")
        assert told.startswith(b"HTTP/1.1 200 ")
        self._left = BIG - len(body)
        self._digest.update(body)

    def read(self, size: int) -> None:
        while size > 0:
            piece = self._wire.read(min(size, 1 << 20))
            assert piece, f"the download broke off {self._left} bytes before its end"
            self._digest.update(piece)
            self._left -= len(piece)
            size -= len(piece)

    def digest(self) -> str:
        """Of the whole file, once it was read to its end."""
        self.read(self._left)
        return self._digest.hexdigest()


def served(make_portal: MakePortal, postgres: OwnPostgres) -> Served:
    portal = make_portal(DATABASE_URL=postgres.url, DATABASE_SSL_MODE="disable")
    portal.prepare(analyst="analyst")
    portal.start()
    return portal


def readiness(portal: Served) -> int:
    with httpx.Client(base_url=portal.url, timeout=60, trust_env=False, verify=False) as client:  # noqa: S501
        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")
    if answer.status_code != 200:
        assert problem(answer) == (503, "not_ready")
        assert answer.json()["detail"].startswith("Away: database")
    return answer.status_code


def journalled(portal: Served) -> list[dict[str, Any]]:
    """What waits for the database to be put on record."""
    journals = (portal.folder / "var").glob("audit-journal.jsonl*")
    return [json.loads(line) for journal in journals for line in journal.read_text().splitlines()]


def ends(events: list[dict[str, Any]], file: str) -> set[str]:
    """How often downloads of a file ended, by the ids of the events."""
    return {event["id"] for event in events if (event["event"], event["subject"]) == ("file.download_ended", file)}


def outage(portal: Served, postgres: OwnPostgres, crowd: Crowd, client: httpx.Client, big: dict[str, str]) -> None:
    """Stopped hard and started again, with one download that ends meanwhile and one that goes on."""
    file, digest = big["id"], big["sha256"]
    refused, ended = crowd.counted(503), ends(journalled(portal) + postgres.record(), file)
    with Wire(portal.port, receive_buffer=BUFFER) as one, Wire(portal.port, receive_buffer=BUFFER) as other:
        ending, crossing = SlowDownload(one, client, file), SlowDownload(other, client, file)
        postgres.stop()
        crowd.until(lambda: crowd.counted(503) >= refused + REFUSED)
        assert eventually(lambda: readiness(portal) == 503)
        crossing.read(BIG // 3)
        assert ending.digest() == digest
        assert eventually(lambda: len(ends(journalled(portal), file) - ended) == 1)
        postgres.start()
        assert eventually(lambda: readiness(portal) == 200)
        crowd.until_everyone_was_served()
        assert crossing.digest() == digest
        # A client that hangs up with the last byte could still be taken for one that left before it.
        assert eventually(lambda: len(ends(journalled(portal) + postgres.record(), file) - ended) == 2)


def assert_every_download_is_on_record(postgres: OwnPostgres, downloads: int) -> None:
    """Each that came whole is there as finished, once; of the others not a byte left."""
    record = postgres.record()
    ended = [event["details"] for event in record if event["event"] == "file.download_ended"]
    assert [end["outcome"] for end in ended].count("finished") == downloads
    assert {(end["outcome"], end["sent"]) for end in ended if end["outcome"] != "finished"} <= {("broken", 0)}
    started = [event["id"] for event in record if event["event"] == "file.download_started"]
    assert Counter(end["started"] for end in ended) <= Counter(started)


def test_a_database_that_is_stopped_and_started_again_loses_nothing(
    make_portal: MakePortal, own_postgres: OwnPostgres, figures: Figures
) -> None:
    portal, times = served(make_portal, own_postgres), amount("DATABASE_STOPS")
    with portal.client("analyst") as client:
        big = client.put("/upload/big.img", content=secrets.token_bytes(BIG)).json()
        with Crowd(client) as crowd:
            crowd.until_everyone_was_served()
            for number in range(times):
                outage(portal, own_postgres, crowd, client, big)
                print(f"database stopped {number + 1} of {times} times: {dict(crowd.answers)}", flush=True)
        assert eventually(lambda: own_postgres.unsettled() == 0)  # by the process that lived through it
        assert portal.stop() == 0
    holdings = invariants.settled(portal)
    invariants.assert_whole(portal, holdings, crowd.acknowledged | {big["id"]: big["sha256"]})
    assert_every_download_is_on_record(own_postgres, crowd.answers["download", 200] + 2 * times)
    figures(stops=times, answers=crowd.answers.total(), refused=crowd.counted(503), files=len(crowd.acknowledged))


def test_sessions_that_the_database_ends_are_replaced(
    make_portal: MakePortal, own_postgres: OwnPostgres, figures: Figures
) -> None:
    portal, times = served(make_portal, own_postgres), 3 * amount("DATABASE_STOPS")
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    ended = 0
    with portal.client("analyst") as client:
        with Crowd(client) as crowd:
            for _ in range(times):
                crowd.until_everyone_was_served()
                ended += len(own_postgres.ask(end))
            crowd.until_everyone_was_served()
        assert eventually(lambda: own_postgres.unsettled() == 0)
        assert portal.stop() == 0
    assert ended >= times
    assert crowd.counted(503) <= ended  # who finds a session ended gets a new one; only what was at work is refused
    invariants.assert_whole(portal, invariants.settled(portal), crowd.acknowledged)
    assert_every_download_is_on_record(own_postgres, crowd.answers["download", 200])
    figures(ended_sessions=ended, answers=crowd.answers.total(), refused=crowd.counted(503))


def test_a_database_file_that_is_moved_away_and_back_loses_nothing(make_portal: MakePortal, figures: Figures) -> None:
    portal, times = make_portal(), amount("DATABASE_STOPS")
    portal.prepare(analyst="analyst")
    portal.start()
    file, elsewhere = portal.folder / "var" / "portal.db", portal.folder / "elsewhere.db"
    with portal.client("analyst") as client:
        with Crowd(client, many=3) as crowd:
            for _ in range(times):
                crowd.until_everyone_was_served()
                refused = crowd.counted(503)
                file.rename(elsewhere)
                crowd.until(lambda refused=refused: crowd.counted(503) >= refused + REFUSED)  # type: ignore[misc]
                assert eventually(lambda: readiness(portal) == 503)
                assert not file.exists()
                elsewhere.rename(file)
                assert eventually(lambda: readiness(portal) == 200)
            crowd.until_everyone_was_served()
        assert eventually(lambda: rows(portal, "SELECT 1 FROM files WHERE status NOT IN ('ready', 'failed')") == [])
        assert portal.stop() == 0
    invariants.assert_whole(portal, invariants.settled(portal), crowd.acknowledged)
    figures(moved=times, answers=crowd.answers.total(), refused=crowd.counted(503), files=len(crowd.acknowledged))
