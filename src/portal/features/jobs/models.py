"""The `jobs` table."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from portal.db.types import big_integer, long_text, partial_index

_UNFINISHED = "status IN ('queued', 'running')"


class JobRow(SQLModel, table=True):
    """A job: queued, running or ended. `payload` and `checkpoint` are JSON: ids and numbers, never content or secrets.

    A running job belongs to `claim_id` until `lease_until`; `worker` names the host and process. At most one job with
    the same kind and `unique_key` is unfinished.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_created", "created_at", "id"),
        Index("ix_jobs_kind", "kind", "created_at", "id"),
        Index("ix_jobs_status", "status", "created_at", "id"),
        partial_index("ix_jobs_finished", "finished_at", where="status NOT IN ('queued', 'running')"),
        partial_index("ix_jobs_unfinished", "kind", "run_after", "id", where=_UNFINISHED),
        partial_index("uq_jobs_unfinished", "unique_key", "kind", where=_UNFINISHED, unique=True),
    )

    id: UUID = Field(primary_key=True)
    kind: str = Field(max_length=64)
    unique_key: str | None = Field(default=None, max_length=200)
    payload: str = long_text()
    created_at: datetime
    created_by: str = Field(max_length=200)
    status: str = Field(max_length=16)
    run_after: datetime
    attempts: int
    claim_id: UUID | None = None
    worker: str | None = Field(default=None, max_length=200)
    lease_until: datetime | None = None
    cancel_requested: bool
    progress_done: int | None = big_integer(default=None)
    progress_total: int | None = big_integer(default=None)
    checkpoint: str | None = long_text(default=None)
    last_error: str | None = Field(default=None, max_length=200)
    started_at: datetime | None = None
    finished_at: datetime | None = None
