"""`portal keys`: the keys in use, and rewrapping of everything under the newest ones.

Comes in: settings that name the new keys first. Leaves: counts, which tell an operator when an old key can be removed.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import typer

from portal.cli.console import Json, actor, portal, print_result, progress, run_async
from portal.cli.program import Exit
from portal.core.clock import rfc3339
from portal.features.admin.keys import KeysStatus
from portal.features.admin.master_keys import KeyStatus, MasterKey

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def keys() -> None:
    """The keys of this portal."""


@app.command("status")
def status(*, as_json: Json = False) -> None:
    """Show each master key: how it is, what it protects, and what is lost with it; authenticators under old keys."""
    found = run_async(_status())
    lines = [line for key in found.master_keys for line in _lines(key)]
    lines.append(f"{found.outdated_authenticators} authenticator(s) under an old PORTAL_SECRET_KEY")
    print_result("\n".join(lines), _told(found), as_json=as_json)


@app.command("rewrap")
def rewrap(*, as_json: Json = False) -> None:
    """Bring everything under the newest keys: the first of PORTAL_KEY_URLS, the first of PORTAL_SECRET_KEY.

    Touches rows, no file. Restart every portal with the new key first, then run this; repeat it after an interruption.
    """
    done = run_async(_rewrap(as_json=as_json))
    told = f"rewrapped {done['rewrapped']} data key(s), resealed {done['resealed']} authenticator(s)"
    if done["left"]:
        told += f"; {done['left']} data key(s) left: their master key is not configured"
    print_result(told, done, as_json=as_json)
    if done["left"]:
        raise typer.Exit(Exit.FOUND)


async def _status() -> KeysStatus:
    async with portal() as opened:
        return await opened.keys.status(actor())


async def _rewrap(*, as_json: bool) -> dict[str, int]:
    done = {"rewrapped": 0, "left": 0}
    async with portal() as opened:
        found = await opened.keys.status(actor())
        total = sum(key.data_keys for key in found.master_keys if not key.wraps)
        with progress("wrapping data keys", total, as_json=as_json, in_bytes=False) as advance:
            async for rewrapped in opened.keys.rewrap(actor()):
                done["rewrapped" if rewrapped else "left"] += 1
                advance(1)
        return {**done, "resealed": await opened.keys.reseal()}


def _told(found: KeysStatus) -> dict[str, Any]:
    told = asdict(found)
    for key in told["master_keys"]:
        key |= {name: moment and rfc3339(moment) for name, moment in key.items() if name.endswith("_active_at")}
    return told


def _lines(key: MasterKey) -> Iterator[str]:
    yield f"{key.key_id}  {_state(key)}"
    versions = ", ".join(f"{use.data_keys} under version {use.version}" for use in key.versions)
    yield f"  {key.data_keys} data key(s){f' ({versions})' if versions else ''}, {key.files} file(s), {key.bytes} bytes"
    if key.oldest_active_at is not None and key.newest_active_at is not None:
        oldest, newest = rfc3339(key.oldest_active_at), rfc3339(key.newest_active_at)
        yield f"  data keys that seal new files were made from {oldest} to {newest}"
    yield f"  {'without it' if key.status is KeyStatus.NOT_CONFIGURED else 'if it is lost'}: {key.loss}"


def _state(key: MasterKey) -> str:
    if key.status is KeyStatus.NOT_CONFIGURED:
        return "NOT CONFIGURED"
    does = "wraps new data keys" if key.wraps else "unwraps"
    return does if key.reason is None else f"{does}, AWAY: {key.reason}"
