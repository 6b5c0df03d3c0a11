"""`portal receipt`: verify a signed document anywhere, and the keys that sign.

Comes in: a document and public halves, as files: `verify` needs no portal and no settings. Leaves: what the document
says, if one of these keys signed exactly that.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from portal.cli.console import Json, actor, named, portal, print_result, run_async
from portal.core.clock import rfc3339
from portal.core.principal import NOWHERE
from portal.features.signing.documents import SignedDocument, public_halves, verified

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
_File = typer.Argument(help="The signed document, as the portal gave it.", exists=True, dir_okay=False)
_Key = typer.Option("--key", help="Trusted keys: the published JWK set, a JWK or PEM.", exists=True, dir_okay=False)


@app.callback()
def receipt() -> None:
    """Signed documents."""


@app.command("verify")
def verify(file: Annotated[Path, _File], *, key: Annotated[Path, _Key], as_json: Json = False) -> None:
    """Show what a signed document says, if one of the given keys signed exactly that; refuse it otherwise.

    Needs no portal: only the two files. The keys must be ones that you kept, not ones that came with the document.
    """
    try:
        trusted = public_halves(key.read_bytes())
    except ValueError as error:
        raise typer.BadParameter(f"{key}: {error}", param_hint="--key") from None
    found = verified(file.read_bytes(), trusted)
    print_result(_text(found), {"type": found.type, "kid": found.kid, "payload": found.payload}, as_json=as_json)


@app.command("show")
def show(receipt_id: Annotated[UUID, typer.Argument(help="The receipt's id.")]) -> None:
    """Print a receipt of this portal, exactly as it was signed."""
    sys.stdout.write(f"{run_async(_document(receipt_id))}\n")


@app.command("keys")
def keys() -> None:
    """Print the public signing keys of this portal as a JWK set, to keep where receipts are verified."""
    print_result("", run_async(_keys()), as_json=True)


@app.command("rotate-key")
def rotate_key(*, as_json: Json = False) -> None:
    """Make a new signing key, and destroy the private half of the old one. What that signed verifies as before."""
    kid, created_at = run_async(_rotate())
    text = f"documents are signed by {kid} from now on: give its public half (`portal receipt keys`) to who verifies"
    print_result(text, {"kid": kid, "created_at": created_at}, as_json=as_json)


async def _document(receipt_id: UUID) -> str:
    with named(f"there is no receipt {receipt_id}"):
        async with portal(database_only=True) as opened:
            return (await opened.custody.receipt(actor(), receipt_id)).document


async def _keys() -> dict[str, Any]:
    from portal.features.signing.schemas import SigningKeyOut, SigningKeysOut  # noqa: PLC0415  # it needs the web

    async with portal(database_only=True) as opened:
        found = SigningKeysOut(keys=[SigningKeyOut.of(key) for key in await opened.signing.everyone()])
    return found.model_dump(mode="json")


async def _rotate() -> tuple[str, str]:
    async with portal(database_only=True) as opened:
        key = await opened.signing.rotate(actor(), NOWHERE)
    return key.id, rfc3339(key.created_at)


def _text(found: SignedDocument) -> str:
    return f"{found.type}, signed by {found.kid}\n{json.dumps(found.payload, indent=2, ensure_ascii=False)}"
