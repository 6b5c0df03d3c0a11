"""People's names, beside the ids of their accounts, for those who may know them.

Comes in: a principal, and answers that have ids. Leaves: the same answers with names. The name of an account never
changes: each is asked for once a process. Where the database is unavailable there is no name, and no error for it.
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

_MOST = 10_000  # names kept
_users = table(UserRow)


class Named(Protocol):
    """An answer with names to fill in: `NAMED` says for each which field has the id."""

    NAMED: ClassVar[Mapping[str, str]]


_T = TypeVar("_T", bound=Named)


class AccountNames:
    """Safe for concurrent use."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[UUID, str] = {}

    async def named(self, principal: Principal, item: _T) -> _T:
        """The same item, with names."""
        await self.all_named(principal, [item])
        return item

    async def all_named(self, principal: Principal, items: list[_T]) -> list[_T]:
        """The same items; one statement for all names that were not known."""
        wanted = [(item, name, _id(getattr(item, field))) for item in items for name, field in item.NAMED.items()]
        told = {id_ for _, _, id_ in wanted if id_ is not None and policy.may_know_name(principal, id_)}
        names = await self._names(told)
        for item, name, id_ in wanted:
            setattr(item, name, None if id_ is None else names.get(id_))
        return items

    async def _names(self, ids: set[UUID]) -> Mapping[UUID, str]:
        names = {id_: self._known[id_] for id_ in ids & self._known.keys()}  # before others make room for theirs
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
    """An account's id, or that in `user:<id>` and `user:<id>/token:<id>`."""
    if not isinstance(value, str):
        return value
    kind, _, rest = value.partition(":")
    with contextlib.suppress(ValueError):
        return UUID(rest.partition("/")[0]) if kind == "user" else None
    return None
