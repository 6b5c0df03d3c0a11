"""`portal keys reencrypt`: new keys and new blobs for files, where somebody may know the old keys.

Comes in: which files. Leaves: how many got new keys, and which did not.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from portal.cli.console import Json, actor, named, portal, print_result, run_async
from portal.cli.working import ended, exit_as, worked
from portal.core.principal import NOWHERE
from portal.features.jobs.views import Job, JobStatus

if TYPE_CHECKING:
    from portal.features.admin.reencrypt_job import Wanted
    from portal.features.admin.reencryption import Reencrypting

_MOST_MIB = 1_000_000
_WHEN = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z"]


def reencrypt(
    *,
    file_id: Annotated[UUID | None, typer.Option("--file", help="Only this file.")] = None,
    case_id: Annotated[UUID | None, typer.Option("--case", help="Only files of this case.")] = None,
    sealed_before: Annotated[
        datetime | None,
        typer.Option(formats=_WHEN, help="Only files encrypted earlier: a day in UTC, or a time with its zone."),
    ] = None,
    key_id: Annotated[
        str | None, typer.Option("--key", help="Only files exposed with this key: a master key's id, or a data key's.")
    ] = None,
    rate: Annotated[int | None, typer.Option(min=1, max=_MOST_MIB, help="At most so many MiB a second.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count: change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Give files new keys: each is copied into a new blob, verified, and swapped in.

    Every file stays readable throughout. Repeat it after an interruption: it goes on where it was.
    """
    from portal.features.admin.reencrypt_job import Wanted  # noqa: PLC0415  # no help text needs the features

    if file_id is None and case_id is None and sealed_before is None and key_id is None:
        raise typer.BadParameter("say which files", param_hint="--file, --case, --sealed-before, --key")
    before = None if sealed_before is None else _aware(sealed_before)
    found = run_async(_reencrypt(Wanted(file_id, case_id, before, key_id, rate), dry_run=dry_run, as_json=as_json))
    if found.job is None:
        text = f"{found.files} file(s), {found.bytes} bytes, would get new keys"
        print_result(text, {"files": found.files, "bytes": found.bytes}, as_json=as_json)
        return
    done = _told(found.job)
    lines = [f"{done['files']} file(s), {done['bytes']} bytes, have new keys"]
    lines += [f"left: {left}" for left in done["named"]]
    if found.job.status is not JobStatus.DONE:
        lines.append(ended(found.job))
    print_result("\n".join(lines), done, as_json=as_json)
    exit_as(found.job)


async def _reencrypt(wanted: "Wanted", *, dry_run: bool, as_json: bool) -> "Reencrypting":
    with named("there is no such file, case or key"):
        async with portal() as opened:
            found = await opened.file_keys.reencrypt(actor(), wanted, NOWHERE, dry_run=dry_run)
            if found.job is None:
                return found
            job = await worked(opened, found.job, "copying files", as_json=as_json, total=found.bytes, in_bytes=True)
            return replace(found, job=job)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _told(job: Job) -> dict[str, Any]:
    kept = job.checkpoint or {}
    told = {"job_id": str(job.id), "status": job.status.value, "error": job.last_error}
    told |= {name: kept.get(name, 0) for name in ("files", "bytes", "left")}
    return told | {"named": kept.get("named", [])}
