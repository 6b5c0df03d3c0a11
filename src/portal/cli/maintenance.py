"""`portal sweep` and `portal fsck`: settle what crashes and deletes left, and verify the listed files."""

import re
from datetime import timedelta
from typing import Annotated, Any

import typer

from portal.cli.console import Json, actor, portal, print_result, progress, run_async
from portal.cli.program import Exit
from portal.db.lease import LEASE
from portal.features.files.blob_rows import Waiting
from portal.features.files.maintenance import Checked

_SPAN = re.compile(r"(\d{1,5})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def sweep(
    *,
    older_than: Annotated[
        str, typer.Option(help="Settle uploads not renewed for this long (0s only while nothing serves).")
    ] = f"{LEASE.seconds}s",
    no_grace: Annotated[
        bool, typer.Option("--no-grace", help="Remove the bytes of deleted files now: to make room. On record.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Settle uploads that a crash left, and remove the bytes of deleted files in their time. `serve` does it too, every
    minute.
    """
    settled, waiting = run_async(_sweep(_span(older_than), no_grace=no_grace))
    lines = [f"settled {settled}"]
    if waiting.blobs:
        lines.append(f"{waiting.blobs} blob(s) of deleted files wait for their time to go, {waiting.size} bytes")
    told = {"settled": settled, "waiting": {"blobs": waiting.blobs, "bytes": waiting.size}}
    print_result("\n".join(lines), told, as_json=as_json)


def fsck(
    *,
    full: Annotated[bool, typer.Option("--full", help="Read every byte of every file.")] = False,
    sample: Annotated[str | None, typer.Option(help="Read every byte of this share of files, as 5%.")] = None,
    as_json: Json = False,
) -> None:
    """Check every file: its record and lengths; with --full or --sample also its bytes and digest."""
    if full and sample is not None:
        raise typer.BadParameter("--full reads every file already", param_hint="--sample")
    checked, problems = run_async(_fsck(_fraction(sample), full=full, as_json=as_json))
    lines = [f"{item.problem}: {item.file_id or item.name} {item.name if item.file_id else ''}" for item in problems]
    lines.append(f"{checked['files']} files, {checked['bytes']} bytes read, {len(problems)} problems")
    if not full and sample is None:
        lines.append("only records and lengths were checked: --full or --sample 5% reads the bytes")
    elif sample is not None and checked["files"] and not checked["bytes"]:
        lines.append("the sample read nothing: of few files read all, with --full")
    told = [
        {"file_id": str(item.file_id) if item.file_id else None, "name": item.name, "problem": item.problem}
        for item in problems
    ]
    print_result("\n".join(line.rstrip() for line in lines), {**checked, "problems": told}, as_json=as_json)
    if problems:
        raise typer.Exit(Exit.FOUND)


async def _sweep(older_than: timedelta, *, no_grace: bool) -> tuple[int, Waiting]:
    async with portal() as opened:
        maintenance = opened.files.maintenance
        settled = await maintenance.end_grace(actor=actor()) if no_grace else 0
        await opened.audit.recorder.replay()
        await opened.identity.accounts.sweep()
        settled += await maintenance.sweep(older_than)
        return settled, await maintenance.waiting()


async def _fsck(sample: float | None, *, full: bool, as_json: bool) -> tuple[dict[str, Any], list[Checked]]:
    files, read, problems = 0, 0, []
    async with portal() as opened:
        maintenance = opened.files.maintenance
        with progress("checking files", await maintenance.count(), as_json=as_json, in_bytes=False) as advance:
            async for item in maintenance.fsck(sample=sample, full=full):
                files += item.file_id is not None
                read += item.bytes_read
                advance(1)
                if item.problem is not None:
                    problems.append(item)
    return {"files": files, "bytes": read}, problems


def _span(text: str) -> timedelta:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise typer.BadParameter("write a time span as 90s, 10m, 2h or 1d", param_hint="--older-than")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _fraction(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 < percent <= 100:
        raise typer.BadParameter("write a share as 5%", param_hint="--sample")
    return percent / 100
