"""`portal stores`: list the blob stores that the database knows, and add new ones.

Comes in: `PORTAL_BLOB_URLS`. Leaves: ids and counts. `portal init` or `portal db upgrade` creates the first store.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from typing import Any

import typer

from portal import config, schema
from portal.bootstrap import open_database, open_stores, require_database
from portal.cli.console import Json, print_result, run_async
from portal.db.unit_of_work import Database
from portal.stores.stores import Stores

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def stores() -> None:
    """Where sealed files lie."""


@app.command("list")
def list_stores(*, as_json: Json = False) -> None:
    """Show every store that the database knows, and how many blobs each has."""
    uses = run_async(_list())
    print_result("\n".join(_line(use) for use in uses), {"stores": uses}, as_json=as_json)


@app.command("add")
def add(*, as_json: Json = False) -> None:
    """Make each place in PORTAL_BLOB_URLS a store that has none yet, and let the database know it."""
    added = run_async(_add())
    told = [f"added store {store_id}" for store_id in added] or ["every configured store is known already"]
    print_result("\n".join(told), {"added": added}, as_json=as_json)


async def _list() -> list[dict[str, Any]]:
    async with _opened() as (stores, database):
        return [asdict(use) | {"id": str(use.id)} for use in await stores.uses(database)]


async def _add() -> list[str]:
    async with _opened() as (stores, database):
        return [str(store_id) for store_id in await stores.add_missing(database)]


@asynccontextmanager
async def _opened() -> AsyncIterator[tuple[Stores, Database]]:
    """The stores and the database that knows them. It needs no key and creates nothing. Raises ConfigError."""
    settings, variables = config.load(keys=False)
    require_database(settings)
    async with aclosing(open_stores(settings, variables)) as stores, aclosing(open_database(settings)) as database:
        await schema.require_current(database.engine)
        yield stores, database


def _line(use: dict[str, Any]) -> str:
    state = "takes new files" if use["writes"] else "is read" if use["there"] else "NOT THERE"
    return f"{use['id']}  {use['scheme']}, {use['blobs']} blob(s), {state}"
