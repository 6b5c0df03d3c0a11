"""The view of a job outside this feature. Comes in: a row. Leaves: a frozen `Job`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class JobStatus(StrEnum):
    """The status of a job. In DONE, FAILED and CANCELLED it has ended."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = (JobStatus.QUEUED.value, JobStatus.RUNNING.value)


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `attempts` counts the runs that began; `last_error` is a code and a reason, without a secret.

    A job is not `readable` if its row holds no JSON: then `payload` is empty, `checkpoint` is None, and it cannot run.
    """

    id: UUID
    kind: str
    unique_key: str | None
    payload: Mapping[str, Any]
    created_at: datetime
    created_by: str
    status: JobStatus
    run_after: datetime
    attempts: int
    claim_id: UUID | None
    worker: str | None
    lease_until: datetime | None
    cancel_requested: bool
    progress_done: int | None
    progress_total: int | None
    checkpoint: Any
    last_error: str | None
    started_at: datetime | None
    finished_at: datetime | None
    readable: bool


@dataclass(frozen=True, slots=True)
class JobFilters:
    """The filters of a listing."""

    kind: str | None = None
    status: JobStatus | None = None


def job_of(row: Mapping[Any, Any]) -> Job:
    values: dict[str, Any] = dict(row)
    values |= {"status": JobStatus(values["status"]), "readable": True}
    try:
        values |= {"payload": _object(values["payload"]), "checkpoint": json.loads(values["checkpoint"] or "null")}
    except (ValueError, RecursionError):
        values |= {"payload": {}, "checkpoint": None, "readable": False}
    return Job(**values)


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # to the caller it is as unreadable as no JSON
    return value


def as_text(value: Any) -> str:
    """The JSON text that a row stores. Raises TypeError or ValueError for a value that JSON cannot express."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
