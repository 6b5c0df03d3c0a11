"""One run of a job: its handler runs under a lease and a time limit, then the outcome is written to the job's row.

Comes in: a claimed job. Leaves: a row that is done, due again, failed, cancelled, or free for another process.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final

from portal.core import clock, log
from portal.core.errors import PortalError, StorageFull, Unavailable
from portal.core.tasks import shielded
from portal.db.lease import LEASE, renewed
from portal.db.reasons import reason
from portal.db.unit_of_work import Database
from portal.features.jobs.kinds import JobKind
from portal.features.jobs.queue import ended
from portal.features.jobs.repository import FREE
from portal.features.jobs.running import JobFailed, JobLost, RunningJob
from portal.features.jobs.views import JobStatus

FINISH_SECONDS: Final = 3
"""The time that a running job has to end by itself when its process stops."""
CANCEL_SECONDS: Final = 2
"""The time that a cancelled handler has to clean up: less than `lease.STOP_SECONDS`, within its lease."""
_SETTLE_TIMES: Final = int(LEASE.total_seconds())
_SETTLE_SECONDS: Final = 1.0
_LONGEST_ERROR: Final = 200

_log = log.get(__name__)


class _End(Enum):
    DONE = auto()
    FAILED = auto()
    GIVEN_UP = auto()  # failed, and no later attempt would change that
    LOST = auto()  # cancelled, or taken over
    RELEASED = auto()  # the process stops


_CANCELLED: Final = {_End.DONE: None, _End.LOST: True} | dict.fromkeys(
    (_End.FAILED, _End.GIVEN_UP, _End.RELEASED), False
)
"""The row's `cancel_requested` with which an outcome is written as it is; None: with either."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    end: _End
    error: str | None = None


async def execute(database: Database, kind: JobKind, running: RunningJob, stopping: asyncio.Event) -> None:
    """Run a job that was just claimed. Errors of the job are not raised: they are in its row and in the log."""
    job = running.job
    with log.bound(job_id=str(job.id), kind=kind.name):
        async with renewed(database, running.renew, f"job {job.id}", held_until=job.lease_until) as lost:
            outcome = await _outcome(kind, running, lost, stopping)
        await shielded(_settle(database, kind, running, outcome, stopping))


async def _outcome(kind: JobKind, running: RunningJob, lost: asyncio.Event, stopping: asyncio.Event) -> _Outcome:
    work = asyncio.ensure_future(kind.handler(running))
    signs = [asyncio.create_task(sign.wait()) for sign in (lost, stopping)]
    try:
        limit = kind.time_limit.total_seconds()
        await asyncio.wait({work, *signs}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            await asyncio.wait({work, signs[0]}, timeout=FINISH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return await _read(work, lost, stopping)
    finally:
        for task in (work, *signs):
            task.cancel()


async def _read(work: asyncio.Future[Any], lost: asyncio.Event, stopping: asyncio.Event) -> _Outcome:
    """The outcome of the work. Work that still runs is cancelled."""
    if work.done():
        return _of_ended(work)
    outcome = _Outcome(
        _End.LOST if lost.is_set() else _End.RELEASED if stopping.is_set() else _End.FAILED, "time_limit"
    )
    work.cancel()
    await asyncio.wait({work}, timeout=CANCEL_SECONDS)
    if not work.done():
        _log.error("job_does_not_stop")  # a handler that swallows its cancelling is a bug
    elif not work.cancelled() and work.exception() is None:
        return _Outcome(_End.DONE)  # it ended well in spite of the cancellation
    return outcome


def _of_ended(work: asyncio.Future[Any]) -> _Outcome:
    if work.cancelled():
        return _Outcome(_End.FAILED, "cancelled_itself")
    error = work.exception()
    if error is None:
        return _Outcome(_End.DONE)
    if isinstance(error, JobLost):
        return _Outcome(_End.LOST)
    if isinstance(error, PortalError):
        end = _End.GIVEN_UP if isinstance(error, JobFailed) else _End.FAILED
        return _Outcome(end, f"{error.code}: {reason(error)}"[:_LONGEST_ERROR])
    _log.error("job_raised", exc_info=error)
    return _Outcome(_End.FAILED, f"internal_error: {type(error).__name__}"[:_LONGEST_ERROR])


async def _settle(
    database: Database, kind: JobKind, running: RunningJob, outcome: _Outcome, stopping: asyncio.Event
) -> None:
    """Write the outcome. While the database is unavailable, try again for about the length of a lease, unless the
    process stops.

    After that the lease has expired, and another process takes the job over.
    """
    for _ in range(_SETTLE_TIMES):
        try:
            await _write(database, kind, running, outcome)
            return
        except (Unavailable, StorageFull) as error:
            _log.warning("job_not_settled", code=error.code, reason=reason(error))
            if stopping.is_set():
                return
            await asyncio.sleep(_SETTLE_SECONDS)


async def _write(database: Database, kind: JobKind, running: RunningJob, outcome: _Outcome) -> None:
    """Write the outcome. A job whose cancellation was requested meanwhile is never queued again, but cancelled."""
    now = clock.now()
    values, cancelled = _values(kind, running, outcome, now), ended(kind, now, JobStatus.CANCELLED)
    async with database.write() as connection:
        mine = await running.settle(connection, FREE | values, cancelled=_CANCELLED[outcome.end])
        known = mine or await running.settle(connection, FREE | cancelled, cancelled=True)
    if mine and outcome.end in {_End.FAILED, _End.GIVEN_UP}:
        given_up = values["status"] == JobStatus.FAILED.value
        tell = _log.error if given_up else _log.warning
        tell("job_given_up" if given_up else "job_failed", error=outcome.error, attempts=running.job.attempts)
    elif not known:
        _log.warning("job_lost")


def _values(kind: JobKind, running: RunningJob, outcome: _Outcome, now: datetime) -> dict[str, Any]:
    queued, attempts = {"status": JobStatus.QUEUED.value}, running.job.attempts
    match outcome.end:
        case _End.DONE:
            return ended(kind, now, JobStatus.DONE) | {"last_error": None}
        case _End.LOST:
            return ended(kind, now, JobStatus.CANCELLED)
        case _End.RELEASED:
            return queued | {"run_after": now, "attempts": attempts - 1}
        case _End.FAILED | _End.GIVEN_UP if kind.every is None and (
            outcome.end is _End.GIVEN_UP or attempts >= kind.max_attempts
        ):
            return ended(kind, now, JobStatus.FAILED) | {"last_error": outcome.error}
        case _:
            delay = kind.retry_delay.delay(attempts)
            wait = delay if kind.every is None else min(delay, kind.every)
            return queued | {"run_after": now + wait, "last_error": outcome.error}
