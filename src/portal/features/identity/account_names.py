"""Account names next to account ids in responses, where the principal may know them.

Comes in: a principal, and responses with account ids. Leaves: the same responses with names. An account's name never
changes, so that names are cached in the process. While the database is unavailable, names are absent; no error is
raised.
"""

import contextlib
from collections.abc import Mapping
from typing import ClassVar, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import select

from portal.core.errors import Unavailable
from portal.core.principal import Principal
from portal.db.tables import table
from portal.db.unit_of_work import Database
from portal.features.authz import policy
from portal.features.identity.models import UserRow

_MOST = 10_000  # names cached
_users = table(UserRow)


class Named(Protocol):
    """A response with names to fill in. `NAMED` maps each name field to the field that has the id."""

    NAMED: ClassVar[Mapping[str, str]]


_T = TypeVar("_T", bound=Named)


class AccountNames:
    """Safe for concurrent use."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[UUID, str] = {}

    async def named(self, principal: Principal, item: _T) -> _T:
        """Fill in the names of one item and return it."""
        await self.all_named(principal, [item])
        return item

    async def all_named(self, principal: Principal, items: list[_T]) -> list[_T]:
        """Fill in the names of the items and return them. One statement reads all names that are not cached."""
        wanted = [(item, name, getattr(item, field)) for item in items for name, field in item.NAMED.items()]
        ids = {value: _id(value) for value in {value for _, _, value in wanted}}  # the items of a page share a few
        told = {id_ for id_ in ids.values() if id_ is not None and policy.may_know_name(principal, id_)}
        names = await self._names(told)
        shown = {value: None if id_ is None else names.get(id_) for value, id_ in ids.items()}
        for item, name, value in wanted:
            setattr(item, name, shown[value])
        return items

    async def _names(self, ids: set[UUID]) -> Mapping[UUID, str]:
        names = {id_: self._known[id_] for id_ in ids & self._known.keys()}  # before a concurrent call clears the cache
        with contextlib.suppress(Unavailable):
            names |= await self._asked(ids - names.keys())
        return names

    async def _asked(self, ids: set[UUID]) -> Mapping[UUID, str]:
        if not ids:
            return {}
        async with self._database.read() as connection:
            rows = await connection.execute(select(_users.c.id, _users.c.name).where(_users.c.id.in_(ids)))
            found = {row.id: row.name for row in rows}
        if len(self._known) > _MOST:
            self._known.clear()
        self._known |= found
        return found


def _id(value: UUID | str | None) -> UUID | None:
    """The account id of a field: a UUID, or an actor such as `user:<id>` or `user:<id>/token:<id>`. Else None."""
    if not isinstance(value, str):
        return value
    kind, _, rest = value.partition(":")
    with contextlib.suppress(ValueError):
        return UUID(rest.partition("/")[0]) if kind == "user" else None
    return None
