"""`portal keys`: how the keys are, new data keys, and moving everything under the newest ones.

Comes in: settings that name the new keys first. Leaves: counts, which tell an operator when an old key can be removed.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

import typer

from portal.cli import key_shares
from portal.cli.approvals import asked_for
from portal.cli.console import Json, actor, named, portal, print_result, run_async
from portal.cli.reencrypt import reencrypt
from portal.cli.working import ended, exit_as, told, worked
from portal.core.clock import rfc3339
from portal.core.principal import NOWHERE
from portal.features.admin.key_views import KeysStatus, KeyStatus, MasterKey, SealedCount
from portal.features.custody.views import Approval
from portal.features.jobs.views import Job, JobStatus

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app.command("reencrypt")(reencrypt)
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count: change nothing.")]

for _command in (key_shares.split, key_shares.combine, key_shares.drill):
    app.command(_command.__name__)(_command)


@app.callback()
def keys() -> None:
    """The keys of this portal."""


@app.command("status")
def status(*, as_json: Json = False) -> None:
    """Show each master key: how it is, what it protects, and what is lost with it; what an old secret key seals."""
    found = run_async(_status())
    lines = [line for key in found.master_keys for line in _lines(key)]
    lines.append(_old_secret_key(SealedCount(found.outdated_authenticators, found.outdated_signing_keys)))
    print_result("\n".join(lines), _told(found), as_json=as_json)


@app.command("rewrap")
def rewrap(*, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Bring every data key under the newest master key: the first of PORTAL_KEY_URLS, in its newest version.

    Touches rows, no file. Restart every portal with the new key first, then run this; repeat it after an interruption.
    """
    data_keys, scopes, job = run_async(_rewrap(dry_run=dry_run, as_json=as_json))
    if job is None:
        text = f"{data_keys} data key(s) of {scopes} scope(s) would be wrapped anew"
        print_result(text, {"data_keys": data_keys, "scopes": scopes}, as_json=as_json)
        return
    done = told(job)
    done |= {"rewrapped": done["data_keys"] - done["left"]}
    _answer(job, f"rewrapped {done['rewrapped']} data key(s)", done, as_json=as_json)


@app.command("reseal")
def reseal(*, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Bring authenticators and the signing key under the newest PORTAL_SECRET_KEY, its first entry.

    Restart every portal with the new entry first, then run this; repeat it after an interruption.
    """
    outdated, job = run_async(_reseal(dry_run=dry_run, as_json=as_json))
    if job is None:
        print_result(f"{_secrets(outdated)} would be sealed anew", asdict(outdated), as_json=as_json)
        return
    done: dict[str, Any] = {"job_id": str(job.id), "status": job.status.value, "error": job.last_error, "named": []}
    done |= {"resealed": job.progress_done or 0, "left": (job.checkpoint or {}).get("left", 0)}
    _answer(job, f"sealed {done['resealed']} secret(s) anew", done, as_json=as_json)


@app.command("rotate")
def rotate(
    *,
    case_id: Annotated[UUID | None, typer.Option("--case", help="Only the data key of this case.")] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Retire the data keys that seal new files, so that the next upload of each case makes a new one.

    Old ones open their files as before.
    """
    rotated = run_async(_rotate(case_id, dry_run=dry_run))
    text = f"{rotated} data key(s) {'would be' if dry_run else 'were'} retired"
    print_result(text, {"data_keys": rotated}, as_json=as_json)


@app.command("verify")
def verify(*, as_json: Json = False) -> None:
    """Have every data key opened by its provider, a few at a time, and name those that do not open."""
    job = run_async(_verify(as_json=as_json))
    done = told(job)
    _answer(job, f"{done['data_keys'] - done['left']} data key(s) open", done, as_json=as_json)


@app.command("retire")
def retire(
    key_id: Annotated[str, typer.Argument(help="The master key's id, as `portal keys status` shows it.")],
    *,
    as_json: Json = False,
) -> None:
    """Say whether a master key can be taken away; refuse, and say why, while anything needs it."""
    with named(f"there is no master key {key_id}"):
        approval = run_async(_retire(key_id))
    told: dict[str, Any] = {"key_id": key_id}
    text = f"nothing needs {key_id}: take it out of PORTAL_KEY_URLS and restart every portal"
    if approval is not None:
        told |= {"approval_id": str(approval.id), "approved_by": approval.decided_by}
        text = f"{text}; approved by {approval.decided_by}" if approval.decided_by else asked_for(approval)
    print_result(text, told, as_json=as_json)


async def _status() -> KeysStatus:
    async with portal(database_only=True) as opened:
        return await opened.keys.status(actor())


async def _rewrap(*, dry_run: bool, as_json: bool) -> tuple[int, int, Job | None]:
    async with portal() as opened:
        found = await opened.keys.rewrap(actor(), NOWHERE, dry_run=dry_run)
        job = found.job and await worked(opened, found.job, "wrapping data keys", as_json=as_json)
        return found.data_keys, found.scopes, job


async def _reseal(*, dry_run: bool, as_json: bool) -> tuple[SealedCount, Job | None]:
    async with portal(database_only=True) as opened:
        found = await opened.keys.reseal(actor(), NOWHERE, dry_run=dry_run)
        job = found.job and await worked(opened, found.job, "sealing secrets", as_json=as_json)
        return found.outdated, job


async def _rotate(case_id: UUID | None, *, dry_run: bool) -> int:
    with named(f"there is no case {case_id}"):
        async with portal(database_only=True) as opened:
            return await opened.keys.rotate(actor(), case_id, NOWHERE, dry_run=dry_run)


async def _verify(*, as_json: bool) -> Job:
    async with portal() as opened:
        return await worked(opened, await opened.keys.verify(actor(), NOWHERE), "opening data keys", as_json=as_json)


async def _retire(key_id: str) -> Approval | None:
    async with portal(database_only=True) as opened:
        return await opened.custody.retire(actor(), key_id, NOWHERE)


def _answer(job: Job, text: str, done: dict[str, Any], *, as_json: bool) -> None:
    lines = [text, *(f"left: {data_key_id}" for data_key_id in done["named"])]
    if job.status is not JobStatus.DONE:
        lines.append(ended(job))
    print_result("\n".join(lines), done, as_json=as_json)
    exit_as(job)


def _told(found: KeysStatus) -> dict[str, Any]:
    as_told = asdict(found)
    for key in as_told["master_keys"]:
        key |= {name: moment and rfc3339(moment) for name, moment in key.items() if name.endswith("_active_at")}
    return as_told


def _old_secret_key(outdated: SealedCount) -> str:
    """Whether an older PORTAL_SECRET_KEY is needed."""
    if outdated.total:
        return f"{_secrets(outdated)} under an old PORTAL_SECRET_KEY: run `portal keys reseal` before it is taken away"
    return "nothing is sealed under an old PORTAL_SECRET_KEY: one that is there can go 12 hours after the new one came"


def _secrets(count: SealedCount) -> str:
    return f"{count.authenticators} authenticator(s), {count.signing_keys} signing key(s)"


def _lines(key: MasterKey) -> Iterator[str]:
    yield f"{key.key_id}  {_state(key)}"
    versions = ", ".join(f"{use.data_keys} under version {use.version}" for use in key.versions)
    kept = f", {key.backups} backup(s)" if key.backups else ""
    held = f"{key.data_keys} data key(s){f' ({versions})' if versions else ''}"
    yield f"  {held}, {key.files} file(s), {key.bytes} bytes{kept}"
    if key.oldest_active_at is not None and key.newest_active_at is not None:
        oldest, newest = rfc3339(key.oldest_active_at), rfc3339(key.newest_active_at)
        yield f"  data keys that seal new files were made from {oldest} to {newest}"
    yield f"  {'without it' if key.status is KeyStatus.NOT_CONFIGURED else 'if it is lost'}: {key.loss}"


def _state(key: MasterKey) -> str:
    if key.status is KeyStatus.NOT_CONFIGURED:
        return "NOT CONFIGURED"
    does = "wraps new data keys" if key.wraps else "unwraps"
    return does if key.reason is None else f"{does}, AWAY: {key.reason}"
