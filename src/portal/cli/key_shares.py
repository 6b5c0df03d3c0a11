"""`portal keys split`, `combine` and `drill`: a master key among several people, and back.

Comes in: a master key of this process (`env:`, `file:`); or the words of shares, from files or typed without echo.
Leaves: shares, a new file with the key, or what the key opens. `combine` and `drill` need no master key in the
settings. Words and keys are in no answer of `--json`, no log and no error. Next: `share_files` reads and writes shares,
`shared_key` asks the portal.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from portal.cli.console import Json, actor, portal, print_result, run_async
from portal.cli.program import Exit
from portal.cli.share_files import NOTE, combined, shares_extra, show, write_new, written
from portal.core.errors import InvalidInput, NotFound
from portal.core.principal import NOWHERE
from portal.core.secrets import Secret
from portal.crypto import derive

_MAX_SHARES = 16
Shares = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Files with one share each. Without them the shares are asked for.", exists=True, dir_okay=False
    ),
]


def split(
    key_id: Annotated[str | None, typer.Argument(help="The master key's id, where there are several.")] = None,
    *,
    shares: Annotated[int, typer.Option(min=2, max=_MAX_SHARES, help="How many shares to make.")] = 5,
    threshold: Annotated[int, typer.Option(min=2, max=_MAX_SHARES, help="How many of them make the key.")] = 3,
    to: Annotated[
        Path | None, typer.Option(help="A new or empty folder: a file for each share.", file_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Split a master key of this process into shares for several people: some of them make the key again.

    Without --to the shares are shown, on a terminal one after the other.
    """
    if threshold > shares:
        raise typer.BadParameter(f"more than the {shares} shares that there are", param_hint="--threshold")
    if as_json and to is None:
        raise typer.BadParameter("it shows no share: give --to", param_hint="--json")
    if to is not None and to.exists() and any(to.iterdir()):
        raise typer.BadParameter(f"{to} is not empty", param_hint="--to")
    found, group = run_async(_split(key_id, shares, threshold))
    told_of = f"of {shares} of the master key {found}; {threshold} make it"
    texts = [f"{NOTE} share {number} {told_of}\n{words}\n" for number, words in enumerate(group, 1)]
    if to is None:
        show(texts)
        return
    paths = written(to, texts)
    told = {"key_id": found, "shares": shares, "threshold": threshold, "files": [str(path) for path in paths]}
    print_result(f"wrote {shares} shares of {found} to {to}: hand them out, and leave none here", told, as_json=as_json)


def combine(
    shares: Shares = None,
    *,
    to: Annotated[str, typer.Option(help="The new file for the key, or - to show it.", metavar="FILE")],
    as_json: Json = False,
) -> None:
    """Make the master key again from shares, into a new file that only you can read.

    It is compared with what the database needs, if there is one.
    """
    if as_json and to == "-":
        raise typer.BadParameter("it shows no key: give --to a file", param_hint="--json")
    if to != "-" and Path(to).exists():
        raise typer.BadParameter(f"{to} exists already", param_hint="--to")
    from portal.cli.shared_key import data_keys_under  # noqa: PLC0415

    key = combined(shares)
    key_id = derive.master_key_id(key.reveal()).hex()
    data_keys, why = run_async(data_keys_under(key_id))
    text = key.reveal().hex() + "\n"
    if to == "-":
        sys.stdout.write(text)
        return
    write_new(Path(to), text)
    checked = f"not compared with a database: {why}" if data_keys is None else f"{data_keys} data key(s) here need it"
    told = {"key_id": key_id, "file": to, "data_keys": data_keys}
    print_result(f"wrote the master key {key_id} to {to}\n{checked}", told, as_json=as_json)


def drill(
    shares: Shares = None,
    *,
    sample: Annotated[int, typer.Option(min=1, max=100_000, help="How many files to read, at most.")] = 20,
    as_json: Json = False,
) -> None:
    """Prove that shares open files: combine them in memory, and read random files whole. Nothing is shown or kept."""
    from portal.cli.shared_key import drilled  # noqa: PLC0415

    key_id, read = run_async(drilled(combined(shares), sample, as_json=as_json))
    failed = [item for item in read if item.problem is not None]
    lines = [f"{item.problem}: {item.file_id} {item.name}".rstrip() for item in failed]
    lines.append(f"the master key {key_id} opened {len(read) - len(failed)} of {len(read)} file(s)")
    told = {"key_id": key_id, "files": len(read), "failed": [str(item.file_id) for item in failed]}
    print_result("\n".join(lines), told, as_json=as_json)
    if failed:
        raise typer.Exit(Exit.FOUND)


async def _split(key_id: str | None, shares: int, threshold: int) -> tuple[str, list[str]]:
    async with portal() as opened:
        chosen, key = _chosen(key_id, opened.resources.keyring.provider_key_ids)
        with shares_extra():
            from portal.crypto.shares import split as split_key  # noqa: PLC0415
        await opened.keys.record_split(actor(), chosen, NOWHERE, shares=shares, threshold=threshold)
        return chosen, split_key(key, shares, threshold)


def _chosen(key_id: str | None, known: Sequence[str]) -> tuple[str, Secret]:
    """The master key to split, and its id. Raises NotFound, InvalidInput."""
    from portal.cli.shared_key import local_keys  # noqa: PLC0415

    found = local_keys()
    if not found or (key_id in known and key_id not in found):
        raise InvalidInput("only a master key of env: or file: can be split: a service gives its key to nobody")
    if key_id is None and len(found) > 1:
        key_id = str(typer.prompt(f"which master key: {', '.join(found)}", err=True))
    chosen = next(iter(found)) if key_id is None else key_id
    if chosen not in found:
        raise NotFound(f"there is no master key {chosen}")
    return chosen, found[chosen]
