"""`portal files export` and `portal rescue`: access to a file's bytes without a running portal."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from portal.cli.console import Json, actor, named, portal, print_result, progress, run_async
from portal.core.errors import IntegrityError, InvalidInput
from portal.core.secrets import parse_key
from portal.strongbox.model import TinkPart
from portal.strongbox.rescue import context_of
from portal.strongbox.rescue import rescue as rescue_blob

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def files() -> None:
    """Files."""


@app.command("export")
def export(
    file_id: Annotated[UUID, typer.Argument(help="The file's id.")],
    *,
    to: Annotated[Path, typer.Option(help="An empty or new folder.", file_okay=False)],
    as_json: Json = False,
) -> None:
    """Write a file as pure Tink streams with their keys in clear: the folder opens the file. In the audit log."""
    if to.exists() and any(to.iterdir()):
        raise typer.BadParameter(f"{to} is not empty", param_hint="--to")
    parts = run_async(_export(file_id, to, as_json=as_json))
    print_result(f"exported {len(parts)} part(s) to {to}", {"file_id": str(file_id), "parts": parts}, as_json=as_json)


def rescue(
    blob: Annotated[Path, typer.Argument(help="The blob, as it lies in the store.", exists=True, dir_okay=False)],
    *,
    key_file: Annotated[str, typer.Option(help="A file with the file key in hex, or - for standard input.")] = "",
    bundle: Annotated[
        Path | None, typer.Option(help="A key bundle: the key provider of the settings opens it.", dir_okay=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="The plaintext; must not exist.")],
    as_json: Json = False,
) -> None:
    """Open a blob with its file key and nothing else, or with a key bundle and the key provider: no database."""
    if bool(key_file) == (bundle is not None):
        raise typer.BadParameter("give one of both", param_hint="--key-file, --bundle")
    key = _read_key(key_file) if bundle is None else run_async(_key_of(blob, bundle))
    with progress(f"opening {blob.name}", blob.stat().st_size, as_json=as_json) as advance:
        try:
            size = rescue_blob(blob, key, out, progress=advance)
        except IntegrityError:  # nobody can tell a wrong key from damage
            raise InvalidInput(
                "The file key is not this blob's, or the blob is damaged. Nothing was written."
            ) from None
    print_result(f"wrote {size} bytes to {out}", {"out": str(out), "size": size}, as_json=as_json)


def _read_key(key_file: str) -> bytes:
    text = sys.stdin.buffer.readline() if key_file == "-" else Path(key_file).read_bytes()
    key = parse_key(text.decode("ascii", "replace"))
    if key is None:
        raise typer.BadParameter("the file key is 64 hex digits", param_hint="--key-file")
    return key.reveal()


async def _key_of(blob: Path, bundle: Path) -> bytes:
    """The key of a blob, from a bundle. It needs the settings of the key providers and no others."""
    from portal import config  # noqa: PLC0415  # a key alone needs no settings
    from portal.bootstrap import opened_providers  # noqa: PLC0415
    from portal.features.backups.bundle_file import file_key  # noqa: PLC0415

    settings, variables = config.load(keys=False)
    async with opened_providers(settings, variables) as providers:
        with bundle.open("rb") as file:
            return await file_key(file, providers, context_of(blob))


async def _export(file_id: UUID, to: Path, *, as_json: bool) -> list[dict[str, Any]]:
    async with portal() as opened:
        with named(f"There is no file {file_id}."):
            parts = await opened.files.maintenance.export(file_id, actor=actor())
        await asyncio.to_thread(to.mkdir, mode=0o700, parents=True, exist_ok=True)
        total = sum(part.length for part in parts)
        with progress("exporting", total, as_json=as_json) as advance, _all_or_nothing(to):
            return [await _write_part(to, number, part, advance) for number, part in enumerate(parts)]


async def _write_part(to: Path, number: int, part: TinkPart, advance: Any) -> dict[str, Any]:
    keyset = "keyset.json" if number == 0 else f"keyset-{number}.json"
    names = {"stream": f"part-{number}.tink", "aad": f"aad-{number}.bin", "keyset": keyset, "key": f"key-{number}.hex"}
    await _write(to / names["stream"], part.stream(), advance)
    await _write(to / names["aad"], _one(part.associated_data))
    await _write(to / names["keyset"], _one(part.keyset.encode()))
    await _write(to / names["key"], _one(part.key.hex().encode() + b"\n"))
    if part.blob is None:
        return {**names, "blob": part.blob_key}
    await _write(to / f"{part.blob_key}.blob", _one(part.blob))  # an inline blob is in no store; `rescue` needs a file
    return {**names, "blob": f"{part.blob_key}.blob"}


async def _write(path: Path, chunks: AsyncIterator[bytes], advance: Any = lambda _: None) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        async for chunk in chunks:
            file.write(chunk)
            advance(len(chunk))
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _all_or_nothing(folder: Path) -> Iterator[None]:
    """Remove every file of an export that fails: no partial export stays, and no key without its stream."""
    try:
        yield
    except BaseException:
        for leftover in folder.iterdir():
            leftover.unlink()
        raise


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data
