"""People's names, beside the ids of their accounts, for those who may know them.

Comes in: a principal, and answers that have ids. Leaves: the same answers with names. The name of an account never
changes: each is asked for once a process. Where the database is unavailable there is no name, and no error for it.
"""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import select

from portal.core.errors import Unavailable
from portal.core.principal import Principal
from portal.db.unit_of_work import Database
from portal.features.authz import policy
from portal.features.identity.models import UserRow

_MOST = 10_000  # names kept
_users: Any = UserRow.__table__  # type: ignore[attr-defined]  # SQLModel adds it


class Named(Protocol):
    """An answer with names to fill in: `NAMED` says for each which field has the id."""

    NAMED: ClassVar[Mapping[str, str]]


_T = TypeVar("_T", bound=Named)


class People:
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
        with contextlib.suppress(Unavailable):
            await self._learn(told - self._known.keys())
        for item, name, id_ in wanted:
            setattr(item, name, self._known.get(id_) if id_ in told else None)
        return items

    async def _learn(self, ids: Iterable[UUID]) -> None:
        missing = list(ids)
        if not missing:
            return
        async with self._database.read() as connection:
            rows = await connection.execute(select(_users.c.id, _users.c.name).where(_users.c.id.in_(missing)))
            found = {row.id: row.name for row in rows}
        if len(self._known) > _MOST:
            self._known.clear()
        self._known |= found


def _id(value: UUID | str | None) -> UUID | None:
    """An account's id, or that in `user:<id>` and `user:<id>/token:<id>`."""
    if not isinstance(value, str):
        return value
    kind, _, rest = value.partition(":")
    with contextlib.suppress(ValueError):
        return UUID(rest.partition("/")[0]) if kind == "user" else None
    return None
