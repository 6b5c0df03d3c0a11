"""`portal worker`: it works jobs off without serving, stops when told, and what a kill cut off another goes on with."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

from portal.core import clock
from portal.core.ids import new_id

from .conftest import MakePortal, Running, Served
from .seen import eventually, rows

HALF = 400  # so many dead uploads keep a sweep busy for long enough to be killed
PATIENCE = 60  # a worker takes seconds to start on a busy machine


@contextmanager
def working(portal: Served) -> Iterator[Running]:
    """A worker, killed at the end where it still runs."""
    process = portal.spawn("worker.log", "worker")
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)


def execute(portal: Served, statement: str, *several: tuple[Any, ...]) -> None:
    with closing(sqlite3.connect(portal.folder / "var" / "portal.db", timeout=60)) as connection, connection:
        connection.executemany(statement, several or [()])


def as_stored(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ")


def half_uploads(portal: Served, count: int) -> None:
    """What uploads leave whose process died an hour ago."""
    ((owner,),) = rows(portal, "SELECT id FROM users")
    past = as_stored(clock.now() - timedelta(hours=1))
    columns = "id, owner_id, scope, name, name_folded, kind, description, status, version, created_at, lease_until"
    values = [
        (new_id().hex, owner, "none", "half", "half", "other", "", "pending", 1, past, past) for _ in range(count)
    ]
    execute(portal, f"INSERT INTO files ({columns}) VALUES ({', '.join('?' * 11)})", *values)  # noqa: S608


def sweep_of(portal: Served) -> Any:
    (found,) = rows(portal, "SELECT status, attempts, worker FROM jobs WHERE kind = 'files.sweep'") or [(None, 0, None)]
    return found


def pending(portal: Served) -> int:
    ((count,),) = rows(portal, "SELECT count(*) FROM files WHERE status = 'pending'")
    return int(count)


def set_up(make_portal: MakePortal) -> Served:
    portal = make_portal()
    portal.prepare(analyst="analyst")
    return portal


def test_a_worker_works_off_what_is_due_and_stops_when_told(make_portal: MakePortal) -> None:
    portal = set_up(make_portal)
    half_uploads(portal, 3)
    with working(portal) as worker:
        assert eventually(lambda: pending(portal) == 0, seconds=PATIENCE)
        assert eventually(lambda: sweep_of(portal)[0] == "queued", seconds=PATIENCE)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0
    assert rows(portal, "SELECT kind FROM jobs WHERE status <> 'queued'") == []
    assert len(rows(portal, "SELECT kind FROM jobs")) >= 5


def test_what_a_kill_cut_off_another_worker_goes_on_with(make_portal: MakePortal) -> None:
    portal = set_up(make_portal)
    half_uploads(portal, HALF)
    with working(portal) as killed:
        assert eventually(lambda: sweep_of(portal)[0] == "running" and pending(portal) < HALF, seconds=PATIENCE)
        killed.send_signal(signal.SIGKILL)
        killed.wait(PATIENCE)
    status, attempts, dead = sweep_of(portal)
    assert (status, attempts) == ("running", 1)
    assert pending(portal) > 0
    with working(portal) as worker:
        assert eventually(lambda: "worker_started" in (portal.folder / "worker.log").read_text(), seconds=PATIENCE)
        assert sweep_of(portal) == ("running", 1, dead)  # its lease has not ended: it might be alive
        execute(portal, "UPDATE jobs SET lease_until = ? WHERE kind = 'files.sweep'", (as_stored(clock.now()),))
        assert eventually(lambda: pending(portal) == 0, seconds=PATIENCE)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0
    given_up = rows(portal, "SELECT count(*), count(DISTINCT subject) FROM audit WHERE event = 'file.upload_failed'")
    assert given_up == [(HALF, HALF)]
