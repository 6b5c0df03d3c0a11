"""`portal keys`: the keys in use, and rewrapping of everything under the newest ones.

Comes in: settings that name the new keys first. Leaves: counts, which tell an operator when an old key can be removed.
"""

from dataclasses import asdict
from typing import Any

import typer

from portal.cli.console import Json, actor, portal, print_result, progress, run_async
from portal.cli.program import Exit

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def keys() -> None:
    """The keys of this portal."""


@app.command("list")
def list_keys(*, as_json: Json = False) -> None:
    """Show each master key by its id, and how many data keys it wraps; authenticators under old secret keys."""
    found = run_async(_list())
    lines = [_line(use) for use in found["master_keys"]]
    lines.append(f"{found['authenticators_under_old_secret_keys']} authenticator(s) under an old PORTAL_SECRET_KEY")
    print_result("\n".join(lines), found, as_json=as_json)


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


async def _list() -> dict[str, Any]:
    async with portal() as opened:
        uses = [asdict(use) for use in await opened.keys.uses()]
        return {"master_keys": uses, "authenticators_under_old_secret_keys": await opened.keys.under_old_secret_keys()}


async def _rewrap(*, as_json: bool) -> dict[str, int]:
    done = {"rewrapped": 0, "left": 0}
    async with portal() as opened:
        total = sum(use.data_keys for use in await opened.keys.uses() if not use.wraps)
        with progress("wrapping data keys", total, as_json=as_json, in_bytes=False) as advance:
            async for rewrapped in opened.keys.rewrap(actor()):
                done["rewrapped" if rewrapped else "left"] += 1
                advance(1)
        return {**done, "resealed": await opened.keys.reseal()}


def _line(use: dict[str, Any]) -> str:
    state = "wraps new data keys" if use["wraps"] else "unwraps" if use["configured"] else "NOT CONFIGURED"
    return f"{use['key_id']}  {use['data_keys']} data key(s), {state}"
