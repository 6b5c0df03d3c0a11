"""The JSON of the routes for jobs."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from portal.features.jobs.views import Job, JobStatus
from portal.web.fields import Moment
from portal.web.pages import ItemPage, PageQuery, page_example

JOB_EXAMPLE: JsonDict = {
    "id": "0190f3a2-9d10-7e2b-b7aa-6b1d2f3b4c5d",
    "kind": "files.sweep",
    "status": "running",
    "cancel_requested": False,
    "payload": {},
    "unique_key": "periodic",
    "created_at": "2026-11-21T12:00:00.000000Z",
    "actor": "system:jobs",
    "run_after": "2026-11-21T12:05:00.000000Z",
    "attempts": 2,
    "worker": "portal-1/4711",
    "lease_until": "2026-11-21T12:06:01.000000Z",
    "progress_done": 3,
    "progress_total": 10,
    "last_error": "blob_store_away: Input/output error",
    "started_at": "2026-11-21T12:05:01.000000Z",
    "finished_at": "2026-11-21T12:03:59.000000Z",
}


class JobOut(BaseModel):
    """A job: work that outlives a request."""

    model_config = ConfigDict(json_schema_extra={"example": JOB_EXAMPLE})

    id: UUID
    kind: str
    status: JobStatus
    cancel_requested: bool = Field(description="It stops at its next heartbeat.")
    payload: dict[str, Any] = Field(description="The objects of the work: ids and numbers.")
    unique_key: str | None = Field(description="Of a kind and key one job is unfinished; `periodic` comes again.")
    created_at: Moment
    actor: str = Field(description="Enqueued it: `user:<id>` or `system:<part>`, as in the audit log.")
    run_after: Moment = Field(description="When it is due.")
    attempts: int
    worker: str | None = Field(description="Host and process that run it.")
    lease_until: Moment | None = Field(description="When another process takes it over, unless this one renews it.")
    progress_done: int | None
    progress_total: int | None
    last_error: str | None = Field(description="A code and a reason.")
    started_at: Moment | None
    finished_at: Moment | None

    @classmethod
    def of(cls, job: Job) -> "JobOut":
        values = {name: getattr(job, name) for name in cls.model_fields if name != "actor"}
        return cls(**values | {"payload": dict(job.payload), "actor": job.created_by})


class JobPage(ItemPage[JobOut]):
    """One page of jobs, newest first."""

    model_config = page_example(JOB_EXAMPLE)


class JobQuery(PageQuery):
    """How to narrow a listing."""

    kind: str | None = Field(None, max_length=64, description="Only jobs of that kind.")
    status: JobStatus | None = None
