"""`portal cases shred`: destroy the keys and the content of a case, and keep the signed receipt of it.

Comes in: a closed case, and its number. Leaves: the receipt, in a file or on standard output.
"""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from portal.cli.approvals import asked_for
from portal.cli.console import Json, actor, named, portal, print_result, run_async
from portal.cli.working import exit_as, worked
from portal.core.principal import NOWHERE
from portal.features.custody.views import Approval, Receipt
from portal.features.jobs.views import Job, JobStatus

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def cases() -> None:
    """Cases."""


@app.command("shred")
def shred(
    case_id: Annotated[UUID, typer.Argument(help="The case's id.")],
    *,
    number: Annotated[str, typer.Option(help="The case's number, so that it is no other case.")],
    to: Annotated[Path | None, typer.Option(help="A new file for the receipt.", exists=False)] = None,
    as_json: Json = False,
) -> None:
    """Destroy the keys of a closed case, then its files and blobs, for ever. Ends with a signed receipt.

    A command that is killed leaves the rest to any worker: the keys are gone with its first moment.
    """
    if to is not None and to.exists():
        raise typer.BadParameter(f"{to} exists", param_hint="--to")
    job, receipt = run_async(_shred(case_id, number, as_json=as_json))
    if isinstance(job, Approval):
        print_result(asked_for(job), {"approval_id": str(job.id)}, as_json=as_json)
        return
    if receipt is None:
        print_result(f"job {job.id} is {job.status.value}: {job.last_error}", {"job_id": str(job.id)}, as_json=as_json)
        exit_as(job)
        return
    if to is not None:
        to.write_text(f"{receipt.document}\n")
    told = {"receipt_id": str(receipt.id), "case_id": str(case_id)}
    text = f"shredded, receipt {receipt.id}: `portal receipt show {receipt.id}` prints it"
    print_result(text, told, as_json=as_json)


async def _shred(case_id: UUID, number: str, *, as_json: bool) -> tuple[Job | Approval, Receipt | None]:
    async with portal(database_only=True) as opened:
        with named(f"there is no case {case_id}"):
            job = await opened.custody.shred(actor(), case_id, number, NOWHERE)
        if isinstance(job, Approval):
            return job, None
        await opened.resources.stores.recognise(opened.resources.database)  # the keys are gone; now the blobs
        job = await worked(opened, job, "shredding files", as_json=as_json)
        shredding = await opened.custody.shredding(actor(), case_id)
        if job.status is not JobStatus.DONE or shredding.receipt_id is None:
            return job, None
        return job, await opened.custody.receipt(actor(), shredding.receipt_id)
