"""`portal backup`: make, list, verify, restore, drill and prune backups.

Comes in: the URL of a target, or PORTAL_BACKUP_URL. Leaves: counts and names; exit code 1 where something is not whole.
"""

from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from portal import config
from portal.bootstrap import open_resources, target_opener
from portal.cli import backup_drill
from portal.cli.backup_drill import DrillRequest, restoring
from portal.cli.console import Json, actor, named, portal, print_result, progress, run_async, table
from portal.cli.program import Exit
from portal.cli.working import exit_as, worked
from portal.core.clock import rfc3339
from portal.core.errors import ConfigError
from portal.features.backups import catalogue
from portal.features.backups.bundle_file import copy_bundle
from portal.features.backups.jobs import CREATE, PRUNE, REWRAP
from portal.features.backups.restoring import Restored
from portal.features.backups.service import Listed
from portal.features.backups.targets import Targets
from portal.features.backups.verifying import Verified
from portal.features.jobs.views import Job, JobStatus

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
To = Annotated[str, typer.Option("--to", help="The target's URL, as file:///mnt/backup; PORTAL_BACKUP_URL if empty.")]
From = Annotated[str, typer.Option("--from", help="The target's URL; PORTAL_BACKUP_URL if empty.")]
Which = Annotated[UUID | None, typer.Option("--backup", help="The backup's id; the newest unless given.")]


@app.callback()
def backup() -> None:
    """Backups, sealed."""


@app.command("create")
def create(
    *,
    to: To = "",
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Do not compare blobs that the newest backup has; copy new ones only.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a backup. Repeat it after an interruption: blobs that are there are not copied again."""
    job = run_async(_worked("copying blobs", CREATE, to, as_json, incremental=incremental))
    made = job.checkpoint or {}
    text = "made backup {id}: {blobs} blob(s) of the store, {copied} of them new ({copied_bytes} bytes)" if made else ""
    lines = [text.format(**made), *(f"lost by the portal: blob {name}" for name in made.get("named", ()))]
    _answer(job, lines, made, as_json=as_json)


@app.command("list")
def list_backups(*, source: From = "", as_json: Json = False) -> None:
    """Show the backups at a target, newest first, and the ones that are gone or cannot be opened."""
    found = run_async(_list(source))
    rows = [_row(one) for one in found]
    text = table(("id", "made", "master key", "state"), rows) if rows else "there is no backup"
    print_result(text, {"backups": [_told(one) for one in found]}, as_json=as_json)
    if any(one.problem for one in found):
        raise typer.Exit(Exit.FOUND)


@app.command("verify")
def verify(*, source: From = "", which: Which = None, as_json: Json = False) -> None:
    """Open every bit of a backup, and name what is missing or damaged."""
    with named("there is no such backup"):
        found = run_async(_verify(source, which, as_json=as_json))
    state = "is whole" if not found.bad else f"IS NOT WHOLE: {found.bad} part(s) are bad"
    lines = [f"backup {found.id} {state}: {found.blobs} blob(s), {found.bytes} bytes", *found.named]
    print_result("\n".join(lines), asdict(found) | {"id": str(found.id)}, as_json=as_json)
    if found.bad:
        raise typer.Exit(Exit.FOUND)


@app.command("restore")
def restore(
    *,
    source: From = "",
    which: Which = None,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Restore the rest although blobs are missing or damaged.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Restore a backup into the portal that the settings describe, which must be empty: no `portal init` before.

    Repeat it after an interruption. The keys that the backup is under must be configured.
    """
    with named("there is no such backup"):
        done = run_async(_restore(source, which, damaged=damaged, as_json=as_json))
    text = f"restored backup {done.id}: {done.rows} row(s), {done.blobs} blob(s), of which {done.copied} were copied"
    print_result("\n".join([text, *done.named]), asdict(done) | {"id": str(done.id)}, as_json=as_json)
    if done.bad:
        raise typer.Exit(Exit.FOUND)


@app.command("prune")
def prune(
    *,
    source: From = "",
    keep: Annotated[int, typer.Option("--keep", min=1, help="How many of the newest backups stay.")],
    as_json: Json = False,
) -> None:
    """Remove backups beyond the newest few, then every blob that none of those names."""
    job = run_async(_worked("removing", PRUNE, source, as_json, keep=keep))
    done = job.checkpoint or {}
    text = "removed {backups} backup(s) and {blobs} blob(s), kept {kept} backup(s)".format(**done) if done else ""
    _answer(job, [text], done, as_json=as_json)


@app.command("rewrap")
def rewrap(*, source: From = "", as_json: Json = False) -> None:
    """Bring the keys of all backups under the newest version of the first master key."""
    job = run_async(_worked("wrapping keys of backups", REWRAP, source, as_json))
    done = job.checkpoint or {}
    _answer(job, [f"rewrapped {done.get('backups', 0)} backup(s)"], done, as_json=as_json)


@app.command("bundle")
def write_bundle(
    *,
    source: From = "",
    which: Which = None,
    out: Annotated[Path, typer.Option("--out", help="The file to write; must not exist.", dir_okay=False)],
    as_json: Json = False,
) -> None:
    """Copy the key bundle of a backup into one file, for `portal rescue --bundle`. It stays sealed."""
    with named("there is no such backup"):
        found = run_async(_bundle(source, which, out))
    print_result(f"wrote the bundle of backup {found} to {out}", {"id": str(found), "out": str(out)}, as_json=as_json)


@app.command("drill")
def drill(
    *,
    source: From = "",
    which: Which = None,
    report: Annotated[Path, typer.Option("--report", help="The signed report; must not exist.", dir_okay=False)],
    sample: Annotated[int, typer.Option("--sample", min=1, help="How many files are opened, drawn at random.")] = 20,
    as_json: Json = False,
) -> None:
    """Restore a backup into a temporary folder, open files there, and sign a report. Exit code 1 for anything bad."""
    if report.exists():
        raise typer.BadParameter(f"{report} exists", param_hint="--report")
    with named("there is no such backup"):
        drilled, text = run_async(backup_drill.drill(DrillRequest(_url(source), which, sample, as_json)))
    backup_drill.write_report(report, text)
    opened = len(drilled.checked)
    bad = drilled.bad
    head = f"backup {drilled.backup.header.id}: {opened} of {drilled.sample.files} file(s) opened, {len(bad)} bad"
    told = {"id": str(drilled.backup.header.id), "files": drilled.sample.files, "opened": opened, "bad": bad}
    print_result("\n".join([head, *bad, f"report: {report}"]), told | {"report": str(report)}, as_json=as_json)
    if bad:
        raise typer.Exit(Exit.FOUND)


async def _worked(what: str, do: str, url: str, as_json: bool, **payload: Any) -> Job:  # noqa: FBT001  # inside only
    async with portal() as opened:
        job = await opened.backups.request(actor(), do, _url(url), **payload)
        return await worked(opened, job, what, as_json=as_json)


async def _list(source: str) -> list[Listed]:
    async with portal() as opened:
        return await opened.backups.list(_url(source))


async def _verify(source: str, which: UUID | None, *, as_json: bool) -> Verified:
    async with portal() as opened:
        with progress("opening blobs", None, as_json=as_json) as advance:
            return await opened.backups.verify(actor(), _url(source), which, advance)


async def _bundle(source: str, which: UUID | None, out: Path) -> UUID:
    settings, variables = config.load(keys=False)
    async with aclosing(target_opener(variables)(_url(source, settings.backup_url))) as target:
        return await copy_bundle(target, which, out)


async def _restore(source: str, which: UUID | None, *, damaged: bool, as_json: bool) -> Restored:
    settings, variables = config.load()
    resources = open_resources(settings, variables)
    try:
        await resources.keyring.check_providers()
        targets = Targets(resources.database, target_opener(variables))
        into = restoring(resources)
        async with targets.readable(_url(source)) as target:
            found = await catalogue.opened(target, resources.keyring, which)
            with progress("copying blobs", None, as_json=as_json) as advance:
                return await into.restore(target, found, actor(), advance, damaged=damaged)
    finally:
        await resources.aclose()


def _url(given: str, default: str | None = None) -> str:
    url = given or (config.load()[0].backup_url if default is None else default)
    if not url:
        raise ConfigError("PORTAL_BACKUP_URL is not set: name the target")
    return url


def _answer(job: Job, lines: list[str], told: dict[str, Any], *, as_json: bool) -> None:
    ended = {"job_id": str(job.id), "status": job.status.value, "error": job.last_error}
    if job.status is not JobStatus.DONE:
        lines = [*lines, f"job {job.id} is {job.status.value}: {job.last_error or 'see `portal jobs show`'}"]
    print_result("\n".join(filter(None, lines)), ended | told, as_json=as_json)
    exit_as(job)


def _told(one: Listed) -> dict[str, Any]:
    told = asdict(one) | {"id": one.id and str(one.id)}
    return told | {"created_at": one.created_at and rfc3339(one.created_at)}


def _row(one: Listed) -> tuple[str, ...]:
    made = rfc3339(one.created_at) if one.created_at else ""
    return str(one.id or f"header {one.object}"), made, one.key_id or "", one.problem or "can be opened"
