"""`portal jobs`: list jobs that wait, run or have ended; cancel or retry a job.

Comes in: ids and filters. Leaves: tables for people, JSON for scripts. Each change is in the audit log.
"""

from typing import Annotated, Any
from uuid import UUID

import typer

from portal.cli.console import Json, actor, named, portal, print_result, run_async, table
from portal.core.clock import rfc3339
from portal.core.principal import NOWHERE
from portal.features.jobs.views import Job, JobFilters, JobStatus

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
JobId = Annotated[UUID, typer.Argument(help="The job's id.", metavar="JOB_ID")]
_PAGE = 200


@app.callback()
def jobs() -> None:
    """Work that outlives a request."""


@app.command("list")
def list_jobs(
    *,
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs in that status.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of that kind.")] = None,
    limit: Annotated[int, typer.Option(help="So many at most.", min=1, max=100_000)] = 50,
    as_json: Json = False,
) -> None:
    """Show jobs, newest first.

    For example: portal jobs list --status failed
    """
    found = run_async(_list(JobFilters(kind, status), limit))
    rows = [[str(job.id), job.kind, _state(job), _progress(job), str(job.attempts), _note(job)] for job in found]
    head = ("id", "kind", "status", "progress", "attempts", "note")
    print_result(table(head, rows) if rows else "no jobs", [_told(job) for job in found], as_json=as_json)


@app.command("show")
def show(job_id: JobId, *, as_json: Json = False) -> None:
    """Show everything about one job."""
    job = run_async(_get(job_id))
    _answer(job, as_json=as_json)


@app.command("cancel")
def cancel(job_id: JobId, *, as_json: Json = False) -> None:
    """End a job that waits; have a running one stop within half a minute."""
    _answer(run_async(_cancel(job_id)), as_json=as_json)


@app.command("retry")
def retry(job_id: JobId, *, as_json: Json = False) -> None:
    """Have a job that failed, was cancelled or still waits done now."""
    _answer(run_async(_retry(job_id)), as_json=as_json)


async def _list(filters: JobFilters, limit: int) -> list[Job]:
    found: list[Job] = []
    after = None
    async with portal(database_only=True) as opened:
        while len(found) < limit:
            page = await opened.job_control.page(actor(), filters, after, min(_PAGE, limit - len(found)))
            found += page.items
            after = page.next_after
            if after is None:
                break
    return found


async def _get(job_id: UUID) -> Job:
    with named(f"there is no job {job_id}"):
        async with portal(database_only=True) as opened:
            return await opened.job_control.get(actor(), job_id)


async def _cancel(job_id: UUID) -> Job:
    with named(f"there is no job {job_id}"):
        async with portal(database_only=True) as opened:
            return await opened.job_control.cancel(actor(), job_id, NOWHERE)


async def _retry(job_id: UUID) -> Job:
    with named(f"there is no job {job_id}"):
        async with portal(database_only=True) as opened:
            return await opened.job_control.retry(actor(), job_id, NOWHERE)


def _answer(job: Job, *, as_json: bool) -> None:
    told = _told(job)
    lines = [[name.replace("_", " "), "" if value is None else str(value)] for name, value in told.items()]
    print_result(table(None, lines), told, as_json=as_json)


def _state(job: Job) -> str:
    return "cancelling" if job.status is JobStatus.RUNNING and job.cancel_requested else job.status.value


def _progress(job: Job) -> str:
    if job.progress_done is None:
        return ""
    return f"{job.progress_done}/{job.progress_total}" if job.progress_total else str(job.progress_done)


def _note(job: Job) -> str:
    """The host and process of a running job; otherwise when it is due, and its last error."""
    if job.status is JobStatus.RUNNING:
        return job.worker or ""
    due = f"due {rfc3339(job.run_after)}" if job.status is JobStatus.QUEUED else ""
    return "; ".join(filter(None, (due, job.last_error)))


def _told(job: Job) -> dict[str, Any]:
    times = ("created_at", "run_after", "started_at", "lease_until", "finished_at")
    said: dict[str, Any] = {
        "id": str(job.id),
        "kind": job.kind,
        "status": job.status.value,
        "cancel_requested": job.cancel_requested,
    }
    said |= {"payload": dict(job.payload), "unique_key": job.unique_key, "actor": job.created_by}
    said |= {"attempts": job.attempts, "last_error": job.last_error, "worker": job.worker}
    said |= {"progress_done": job.progress_done, "progress_total": job.progress_total, "checkpoint": job.checkpoint}
    moments = {name: getattr(job, name) for name in times}
    return said | {name: None if moment is None else rfc3339(moment) for name, moment in moments.items()}
