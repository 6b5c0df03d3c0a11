"""Jobs for operators: list, read, cancel, retry.

Comes in: ids and filters. Leaves: `Job`s. The caller checks permissions and writes the audit log: `features/admin`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, NotFound
from portal.core.pagination import After, Page, page_of
from portal.db.connection import Connection
from portal.db.unit_of_work import Database, after_commit
from portal.features.jobs import repository, wakeup
from portal.features.jobs.kinds import JobKind
from portal.features.jobs.repository import FREE
from portal.features.jobs.runner import JobRunner
from portal.features.jobs.views import Job, JobFilters, JobStatus

FINISHED_KEPT: Final = timedelta(days=7)
_OVER = {JobStatus.FAILED, JobStatus.CANCELLED}


class JobStateRefused(Conflict):
    code, title = "job_state_refused", "The job is in a state in which that cannot be done."


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of one portal, and the kinds that this release knows."""

    database: Database
    kinds: Sequence[JobKind]

    def runner(self, at_once: int, only: Collection[str] | None = None) -> JobRunner:
        """A runner that runs at most `at_once` jobs at the same time, of any kinds or of those named."""
        kinds = [kind for kind in self.kinds if only is None or kind.name in only]
        return JobRunner(self.database, kinds, at_once=at_once)

    async def page(self, filters: JobFilters, after: After | None, limit: int) -> Page[Job]:
        """One page, newest first."""
        async with self.database.read() as connection:
            return page_of(await repository.page(connection, filters, after, limit + 1), limit)

    async def get(self, job_id: UUID) -> Job:
        """The job. Raises NotFound."""
        async with self.database.read() as connection:
            return _there(await repository.find(connection, job_id))

    async def cancel(self, connection: Connection, job_id: UUID) -> Job:
        """Cancel a queued job now, or have a running one stop at its next renewal. Raises NotFound, JobStateRefused."""
        job = _there(await repository.find_to_change(connection, job_id))
        if job.status is JobStatus.RUNNING:
            return await _changed(connection, job, {"cancel_requested": True})
        if job.status is not JobStatus.QUEUED:
            raise JobStateRefused("The job has ended already.")
        if any(kind.name == job.kind and kind.every is not None for kind in self.kinds):
            raise JobStateRefused("The job comes again by itself: it can be cancelled only while it runs.")
        return await _changed(connection, job, {"status": JobStatus.CANCELLED.value, "finished_at": clock.now()})

    async def retry(self, connection: Connection, job_id: UUID) -> Job:
        """Queue a failed, cancelled or waiting job to run now, with its attempts counted anew.

        Raises NotFound, JobStateRefused.
        """
        job = _there(await repository.find_to_change(connection, job_id))
        if job.status is not JobStatus.QUEUED and job.status not in _OVER:
            raise JobStateRefused(f"The job is {job.status.value}.")
        again: dict[str, Any] = {"status": JobStatus.QUEUED.value, "run_after": clock.now(), "attempts": 0}
        again |= FREE | {"cancel_requested": False, "finished_at": None}
        if not await repository.requeue(connection, job.id, again):
            raise JobStateRefused("Another job with the same key waits or runs.")
        after_commit(connection, wakeup.ring)
        return _there(await repository.find(connection, job.id))


async def forget_finished(database: Database) -> int:
    """Remove jobs that ended more than FINISHED_KEPT ago. Returns their number."""
    async with database.write() as connection:
        return await repository.forget_finished(connection, clock.now() - FINISHED_KEPT)


async def _changed(connection: Connection, job: Job, values: dict[str, Any]) -> Job:
    await repository.change(connection, job.id, values)
    return _there(await repository.find(connection, job.id))


def _there(job: Job | None) -> Job:
    if job is None:
        raise NotFound
    return job
