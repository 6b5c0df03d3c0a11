"""Work that a command has done as a job: by this process, or by the one that is at it already.

Comes in: a job in the queue. Leaves: the job as it ended, or as it waits for its next attempt. A command that is
stopped releases its job: another process goes on with it, or the same command does when it is repeated.
"""

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from portal.cli.console import progress
from portal.cli.program import Exit
from portal.features.jobs.views import UNFINISHED, Job, JobStatus

if TYPE_CHECKING:
    from portal.bootstrap import Portal

_LOOK_SECONDS = 0.1


async def worked(
    opened: "Portal", job: Job, what: str, *, as_json: bool, total: int | None = None, in_bytes: bool = False
) -> Job:
    """Run the job in this process, unless another does, and show its progress: in data keys, or a `total` in bytes."""
    runner = opened.jobs.runner(1, only={job.kind})
    running = asyncio.create_task(runner.run())
    try:
        with progress(what, total or job.payload.get("data_keys"), as_json=as_json, in_bytes=in_bytes) as advance:
            shown = 0
            while not _is_over(job):
                await asyncio.sleep(_LOOK_SECONDS)
                job = await opened.jobs.get(job.id)
                advance((job.progress_done or 0) - shown)
                shown = job.progress_done or 0
        return job
    finally:
        runner.stop()
        await running


def told(job: Job) -> dict[str, Any]:
    """How a job on data keys ended, as JSON."""
    kept = job.checkpoint or {}
    ended = {
        "job_id": str(job.id),
        "status": job.status.value,
        "error": job.last_error,
        "data_keys": kept.get("seen", 0),
    }
    return ended | {"left": kept.get("left", 0), "named": kept.get("named", [])}


def ended(job: Job) -> str:
    """Why a job is not done, in a line."""
    return f"job {job.id} is {job.status.value}: {job.last_error or 'see `portal jobs show`'}"


def exit_as(job: Job) -> None:
    """End the command by how the job ended: data keys were left, or it waits for its next attempt."""
    if job.status is not JobStatus.DONE:
        raise typer.Exit(Exit.FOUND if job.status is JobStatus.FAILED else Exit.UNAVAILABLE)


def _is_over(job: Job) -> bool:
    """Whether it has ended, or failed and waits for its next attempt."""
    waits = job.status is JobStatus.QUEUED and job.attempts > 0 and job.last_error is not None
    return waits or job.status.value not in UNFINISHED
