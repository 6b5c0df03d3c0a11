"""A running job, as its handler sees it: its payload, its checkpoint, its progress.

Comes in: a claimed row. Leaves: progress in that row, while the claim is valid. Next: handlers.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from portal.core.errors import Conflict
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.jobs import repository
from portal.features.jobs.views import Job, as_text


class JobLost(Conflict):
    code, title = "job_lost", "The job was cancelled, or another process has taken it over."


class JobFailed(Conflict):
    code, title = "job_failed", "The job found what no later attempt would change."


class RunningJob:
    """One run of a job."""

    def __init__(self, database: Database, job: Job, claim_id: UUID) -> None:
        self._database = database
        self._claim_id = claim_id
        self.job = job
        self.checkpoint = job.checkpoint

    @property
    def payload(self) -> Mapping[str, Any]:
        return self.job.payload

    async def save(
        self, *, done: int, total: int | None = None, checkpoint: Any = None, connection: Connection | None = None
    ) -> None:
        """Save the progress, and the `checkpoint` from which a later run continues.

        With `connection` it is saved in the caller's transaction, together with the work. Raises JobLost if the work
        must stop; that transaction must not commit then.

            async with database.write() as connection:
                await move(connection, page)
                await job.save(done=moved, checkpoint=page[-1], connection=connection)
        """
        if connection is None:
            async with self._database.write() as own:
                await self.save(done=done, total=total, checkpoint=checkpoint, connection=own)
            return
        text = None if checkpoint is None else as_text(checkpoint)
        values = {"progress_done": done, "progress_total": total, "checkpoint": text}
        if not await self.settle(connection, values, cancelled=False):
            raise JobLost
        self.checkpoint = checkpoint

    async def renew(self, connection: Connection, until: datetime) -> bool:
        """Renew the lease. False if another process has the job, or its cancellation was requested."""
        return await self.settle(connection, {"lease_until": until}, cancelled=False)

    async def settle(self, connection: Connection, values: dict[str, Any], *, cancelled: bool | None = None) -> bool:
        """Update the row if it still belongs to this run; else False. `cancelled`: see `repository.change_claimed`."""
        return await repository.change_claimed(connection, self.job.id, self._claim_id, values, cancelled=cancelled)
