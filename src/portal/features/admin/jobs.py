"""Jobs for administrators and the command line: list and read; cancel and retry, written to the audit log.

Comes in: a principal, or the actor of the command line. Leaves: `Job`s, and an audit row for each change. Next: `jobs`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from portal.core.pagination import After, Page
from portal.core.principal import Origin
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.admin.acting import actor_of, require
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.authz.actions import Action
from portal.features.identity.accounts import Actor
from portal.features.identity.authenticators import Authenticators
from portal.features.jobs.service import Jobs
from portal.features.jobs.views import Job, JobFilters
from portal.resources import Resources

_Change = Callable[[Connection, UUID], Awaitable[Job]]


@dataclass(frozen=True, slots=True)
class JobControl:
    """The service for administrators and the command line."""

    database: Database
    jobs: Jobs
    authenticators: Authenticators

    async def page(self, by: Actor, filters: JobFilters, after: After | None, limit: int) -> Page[Job]:
        """One page of jobs, newest first. Raises Forbidden."""
        require(by, Action.JOB_MANAGE)
        return await self.jobs.page(filters, after, limit)

    async def get(self, by: Actor, job_id: UUID) -> Job:
        """Raises Forbidden, NotFound."""
        require(by, Action.JOB_MANAGE)
        return await self.jobs.get(job_id)

    async def cancel(self, by: Actor, job_id: UUID, origin: Origin) -> Job:
        """Raises Forbidden, NotFound, JobStateRefused."""
        return await self._change(by, job_id, origin, self.jobs.cancel, EventKind.JOB_CANCELLED)

    async def retry(self, by: Actor, job_id: UUID, origin: Origin) -> Job:
        """Raises Forbidden, NotFound, JobStateRefused."""
        return await self._change(by, job_id, origin, self.jobs.retry, EventKind.JOB_RETRIED)

    async def _change(self, by: Actor, job_id: UUID, origin: Origin, change: _Change, kind: EventKind) -> Job:
        require(by, Action.JOB_MANAGE)
        async with self.database.write() as connection:
            actor = await actor_of(connection, self.authenticators, by, Action.JOB_MANAGE)
            job = await change(connection, job_id)
            await record.write(connection, Event(kind, actor, str(job_id), origin, {"kind": job.kind}))
        return job


def build(resources: Resources, jobs: Jobs, authenticators: Authenticators) -> JobControl:
    """Build the service on one set of resources."""
    return JobControl(resources.database, jobs, authenticators)
