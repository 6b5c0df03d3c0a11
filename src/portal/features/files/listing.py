"""The statement behind a listing of files: what a caller may see of them, narrowed, newest first.

Comes in: the caller's connection. Leaves: frozen views.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, or_, select, true, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core import clock
from portal.core.page import After
from portal.features.authz.policy import EVERYTHING, Sight
from portal.features.authz.standing import Tlp
from portal.features.cases.models import CaseRow, MemberRow
from portal.features.files import grant_rows, repository
from portal.features.files.models import FileRow, Kind
from portal.features.files.views import FileView

_files: Any = FileRow.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_cases: Any = CaseRow.__table__  # type: ignore[attr-defined]
_members: Any = MemberRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Filters:
    """What a listing is narrowed to. `name` is a part of the name, whatever its case."""

    seen_by: Sight = EVERYTHING
    case_id: UUID | None = None
    name: str | None = None
    sha256: str | None = None
    kind: Kind | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


async def list_page(connection: AsyncConnection, filters: Filters, after: After | None, limit: int) -> list[FileView]:
    """Newest first, from behind `after`."""
    wanted = [_files.c.status.in_(repository.LISTED), *_matching(filters)]
    if after is not None:
        wanted.append(tuple_(_files.c.created_at, _files.c.id) < tuple_(*after))
    whole = select(*repository.COLUMNS)
    seen = _seen(filters.seen_by)
    if len(seen) == 1:
        return repository.views(await connection.execute(_newest(whole.where(*wanted, *seen), _files, limit)))
    # Each way to see a file finds its newest, then those of all; only of what is left is everything read.
    keys = select(_files.c.created_at, _files.c.id).where(*wanted)
    every = union_all(*(select(_newest(keys.where(way), _files, limit).subquery()) for way in seen)).subquery()
    newest = whole.where(_files.c.id.in_(_newest(select(every.c.id), every, limit)))
    return repository.views(await connection.execute(_newest(newest, _files, limit)))


def _matching(filters: Filters) -> list[ColumnElement[bool]]:
    conditions = {
        "case_id": lambda value: _files.c.case_id == value,
        "name": lambda value: _files.c.name_folded.contains(repository.folded(value), autoescape=True),
        "sha256": lambda value: _files.c.sha256 == value,
        "kind": lambda value: _files.c.kind == value.value,
        "created_from": lambda value: _files.c.created_at >= value,
        "created_to": lambda value: _files.c.created_at < value,
    }
    given = {name: getattr(filters, name) for name in conditions}
    return [conditions[name](value) for name, value in given.items() if value is not None]


def _seen(sight: Sight) -> list[ColumnElement[bool]]:
    """Conditions of which no file meets two, each with an index of its own."""
    within = true() if sight.case_id is None else _files.c.case_id == sight.case_id
    if sight.user_id is None:
        return [within]
    mine = _files.c.owner_id == sight.user_id
    cases = select(_members.c.case_id).where(_members.c.user_id == sight.user_id)
    whole = cases.where(_members.c.role.in_([role.value for role in sight.roles]))
    seen = [
        within & mine & or_(_files.c.case_id.is_(None), _files.c.case_id.in_(cases)),
        within & ~mine & _files.c.case_id.in_(whole),
    ]
    return [*seen, within & ~mine & _granted(sight.user_id, whole)] if sight.granted else seen


def _granted(user_id: UUID, whole: Any) -> ColumnElement[bool]:
    """Single files that they may read, but for those of the cases that they see anyway, and of those for members."""
    red = select(_cases.c.id).where(_cases.c.tlp == Tlp.RED.value)
    granted = grant_rows.granted(_files, user_id, clock.now())
    elsewhere = or_(_files.c.case_id.is_(None), _files.c.case_id.not_in(whole) & _files.c.case_id.not_in(red))
    return elsewhere & granted


def _newest(statement: Select[Any], table: Any, limit: int) -> Select[Any]:
    return statement.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit)
