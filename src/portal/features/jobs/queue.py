"""The queue: the transaction that needs a job enqueues it, and one process at a time claims it.

Comes in: the caller's connection. Leaves: a row; or a claimed job. A transaction that rolls back leaves no job.
Next: `runner`.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from portal.core import clock, log
from portal.core.ids import new_id
from portal.db.connection import Connection
from portal.db.lease import LEASE
from portal.db.unit_of_work import Database, after_commit
from portal.features.jobs import repository, wakeup
from portal.features.jobs.kinds import JobKind
from portal.features.jobs.repository import FREE
from portal.features.jobs.running import RunningJob
from portal.features.jobs.views import Job, JobStatus, as_text

SYSTEM = "system:jobs"
PERIODIC = "periodic"
"""The `unique_key` of the only job of a periodic kind."""
PROCESS_DIED = "process_died"
UNREADABLE = "unreadable"

_log = log.get(__name__)


async def enqueue(
    connection: Connection,
    kind: str,
    payload: Mapping[str, Any],
    *,
    created_by: str = SYSTEM,
    unique_key: str | None = None,
    run_after: datetime | None = None,
) -> UUID | None:
    """Add a job, which runs after the caller's transaction has committed and not before `run_after`.

    Returns the job's id; None if an unfinished job of the kind has the same `unique_key`. The payload is JSON: ids and
    numbers, never a secret.
    """
    now, job_id = clock.now(), new_id()
    values = {"id": job_id, "kind": kind, "unique_key": unique_key, "payload": as_text(dict(payload)), "attempts": 0}
    values |= {"created_at": now, "created_by": created_by, "status": JobStatus.QUEUED.value}
    values |= {"run_after": run_after or now, "cancel_requested": False}
    if not await repository.add(connection, values):
        return None
    after_commit(connection, wakeup.ring)
    return job_id


async def earliest_due(database: Database, kinds: Collection[str]) -> str | None:
    """The kind, among `kinds`, of the job that has been due for longest; None if no job is due.

    It only reads, so that polling blocks no writer.
    """
    if not kinds:
        return None
    async with database.read() as connection:
        return await repository.earliest_due(connection, kinds, clock.now())


async def without_periodic(database: Database, kinds: Collection[str]) -> set[str]:
    """The periodic kinds, among `kinds`, that have no unfinished job. It only reads."""
    async with database.read() as connection:
        return set(kinds) - await repository.kinds_with(connection, PERIODIC)


async def claim(database: Database, kind: JobKind, worker: str) -> RunningJob | None:
    """Claim the next due job of the kind; None if no job is due, or `kind.at_once` of them run already.

    The claim belongs to the caller for one lease, and must be renewed.
    """
    async with database.write() as connection:
        now = clock.now()
        if kind.at_once is not None and await repository.count_alive(connection, kind.name, now) >= kind.at_once:
            return None
        while (job := await repository.take_next(connection, kind.name, now)) is not None:
            over = _end_without_run(job, kind, now)
            if over is None:
                return await _claimed(connection, database, job, worker)
            await repository.change(connection, job.id, FREE | over)
            _tell(job, over)
    return None


async def _claimed(connection: Connection, database: Database, job: Job, worker: str) -> RunningJob:
    now, claim_id = clock.now(), new_id()  # after every wait for a lock: the lease is a whole one
    values = {"status": JobStatus.RUNNING.value, "claim_id": claim_id, "worker": worker, "lease_until": now + LEASE}
    values |= {"attempts": job.attempts + 1, "started_at": now}
    await repository.change(connection, job.id, values)
    claimed = await repository.find(connection, job.id)
    if claimed is None:
        raise LookupError  # cannot happen: this transaction has locked the row
    return RunningJob(database, claimed, claim_id)


def _end_without_run(job: Job, kind: JobKind, now: datetime) -> dict[str, Any] | None:
    """The final columns of a due job that is not to run; None if it is.

    It is cancelled, or its row is unreadable, or its process died too often.
    """
    if job.cancel_requested:
        return ended(kind, now, JobStatus.CANCELLED)
    if not job.readable:
        return ended(kind, now, JobStatus.FAILED) | {"last_error": UNREADABLE}
    died = job.status is JobStatus.RUNNING
    if died and job.attempts >= kind.max_attempts and kind.every is None:
        return ended(kind, now, JobStatus.FAILED) | {"last_error": PROCESS_DIED}
    return None


def _tell(job: Job, over: Mapping[str, Any]) -> None:
    if "last_error" in over:
        _log.error("job_given_up", job_id=str(job.id), kind=job.kind, error=over["last_error"], attempts=job.attempts)


def ended(kind: JobKind, now: datetime, status: JobStatus) -> dict[str, Any]:
    """The columns of a job that has ended. A periodic job is queued again as a new one, due after `kind.every`."""
    if kind.every is None:
        return {"status": status.value, "finished_at": now}
    blank = dict.fromkeys(("progress_done", "progress_total", "checkpoint"))
    blank |= {"payload": as_text({})}
    again = {"status": JobStatus.QUEUED.value, "run_after": now + kind.every, "cancel_requested": False}
    return blank | again | {"attempts": 0, "finished_at": now}
