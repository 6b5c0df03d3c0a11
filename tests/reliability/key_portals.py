"""Portals for the suites on key work: master keys by name, and what stands behind on either database.

Comes in: a portal that was made. Leaves: the same with two master keys, OLD_KEY and NEW_KEY; data keys; rows.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import text

from portal import config
from portal.bootstrap import open_resources
from portal.keyring.data_key import DataKey
from portal.resources import Resources

from .. import own_loop
from ..e2e.conftest import Served

_T = TypeVar("_T")


def with_master_keys(portal: Served) -> Served:
    """With two master keys, of which the old one wraps."""
    portal.environment |= {name: secrets.token_hex(32) for name in ("OLD_KEY", "NEW_KEY")}
    return with_first(portal, "OLD_KEY")


def with_first(portal: Served, *names: str) -> Served:
    """These master keys are configured; the first one wraps."""
    portal.environment["PORTAL_KEY_URLS"] = ",".join(f"env:{name}" for name in names)
    return portal


def behind(portal: Served, work: Callable[[Resources], Awaitable[_T]]) -> _T:
    """What is done with the portal's resources in this process."""

    async def opened() -> _T:
        resources = open_resources(*config.load(portal.environment, portal.folder / ".env"))
        try:
            return await work(resources)
        finally:
            await resources.aclose()

    return own_loop.run(opened())


def ask(portal: Served, statement: str, **values: Any) -> list[Any]:
    """The rows that the database answers with, in a transaction of its own."""

    async def asked(resources: Resources) -> list[Any]:
        async with resources.database.write() as connection:
            found = await connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []

    return behind(portal, asked)


def make_data_keys(portal: Served, scopes: Sequence[str]) -> list[DataKey]:
    """A new data key of each scope."""

    async def made(resources: Resources) -> list[DataKey]:
        return [await resources.keyring.active(scope) for scope in scopes]

    return behind(portal, made)


def all_open(portal: Served, made: Sequence[DataKey]) -> bool:
    """Whether each data key opens, and is the one that was made."""

    async def opened(resources: Resources) -> bool:
        return [await resources.keyring.get(key.id, key.scope) for key in made] == list(made)

    return behind(portal, opened)
