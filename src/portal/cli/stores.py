"""`portal stores`: which blob stores the database knows, and making a new one known.

Comes in: `PORTAL_BLOB_URLS`. Leaves: ids and counts. The first store is made by `portal init` or `portal db upgrade`.
"""

from dataclasses import asdict
from typing import Any

import typer

from portal import config, schema
from portal.bootstrap import open_resources
from portal.cli.console import Json, answer, settle

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def stores() -> None:
    """Where sealed files lie."""


@app.command("list")
def list_stores(*, as_json: Json = False) -> None:
    """Show every store that the database knows, and how many blobs each has."""
    uses = settle(_list())
    answer("\n".join(_line(use) for use in uses), {"stores": uses}, as_json=as_json)


@app.command("add")
def add(*, as_json: Json = False) -> None:
    """Make each place in PORTAL_BLOB_URLS a store that has none yet, and let the database know it."""
    added = settle(_add())
    told = [f"added store {store_id}" for store_id in added] or ["every configured store is known already"]
    answer("\n".join(told), {"added": added}, as_json=as_json)


async def _list() -> list[dict[str, Any]]:
    settings, variables = config.load()
    resources = open_resources(settings, variables)
    try:
        await schema.require_current(resources.database.engine)
        return [asdict(use) | {"id": str(use.id)} for use in await resources.stores.uses(resources.database)]
    finally:
        await resources.aclose()


async def _add() -> list[str]:
    settings, variables = config.load()
    resources = open_resources(settings, variables)
    try:
        await schema.require_current(resources.database.engine)
        return [str(store_id) for store_id in await resources.stores.add_missing(resources.database)]
    finally:
        await resources.aclose()


def _line(use: dict[str, Any]) -> str:
    state = "takes new files" if use["writes"] else "is read" if use["there"] else "NOT THERE"
    return f"{use['id']}  {use['scheme']}, {use['blobs']} blob(s), {state}"
