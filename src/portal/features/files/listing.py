"""The statement of a listing: the files that a caller may see, filtered, newest first or in the order of availability.

Comes in: the caller's connection. Leaves: frozen views.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, or_, select, true, tuple_, union_all

from portal.core import clock
from portal.core.pagination import After
from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.authz.relation import Tlp
from portal.features.authz.visibility import UNRESTRICTED, Visibility
from portal.features.cases.models import CaseRow, MemberRow
from portal.features.files import availability, grant_rows, repository
from portal.features.files.models import FileKind, FileRow
from portal.features.files.views import FileView

_files = table(FileRow)
_cases = table(CaseRow)
_members = table(MemberRow)


class FileOrder(StrEnum):
    """The order of a listing."""

    NEWEST = "newest"  # by the time at which the upload began, latest first
    AVAILABLE = "available"  # by the time at which the file became available, earliest first: for clients that poll


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters and the order of a listing. `name` is a part of the name, case-insensitive.

    The `_from` times are inclusive, the `_to` times exclusive. `seen_by` restricts it to the caller's visible files.
    """

    seen_by: Visibility = UNRESTRICTED
    case_id: UUID | None = None
    name: str | None = None
    sha256: str | None = None
    kind: FileKind | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    available_from: datetime | None = None
    available_to: datetime | None = None
    order: FileOrder = FileOrder.NEWEST

    @property
    def by_availability(self) -> bool:
        """Whether the listing must end before the first unsettled time.

        Otherwise a file that commits later could have its place before a file that was already shown.
        """
        return self.order is FileOrder.AVAILABLE or bool(self.available_from or self.available_to)

    def place(self, file: FileView) -> After:
        """The position of a file in the order: the cursor to continue behind it."""
        by = file.created_at if self.order is FileOrder.NEWEST else file.available_at
        return by or file.created_at, file.id


_BY = {FileOrder.NEWEST: _files.c.created_at, FileOrder.AVAILABLE: _files.c.available_at}


async def list_page(connection: Connection, filters: Filters, after: After | None, limit: int) -> list[FileView]:
    """At most `limit` listed files that match `filters`, in their order, from behind `after`."""
    wanted = [_files.c.status.in_(repository.LISTED), *_matching(filters)]
    if filters.by_availability and (settled := await availability.settled_before(connection)) is not None:
        wanted.append(_files.c.available_at < settled)
    if after is not None:
        wanted.append(_behind(after, filters.order))
    whole, order = select(*repository.COLUMNS), filters.order
    seen = _seen(filters.seen_by)
    if len(seen) == 1:
        return repository.views(
            await connection.execute(scanning(_first(whole.where(*wanted, *seen), _files, order, limit)))
        )
    # Each way to see a file selects the keys of its own first rows, by its own index; then the first rows of their
    # union are selected. Only for those are all columns read.
    keys = select(_BY[order], _files.c.id).where(*wanted)
    every = union_all(*(select(_first(keys.where(way), _files, order, limit).subquery()) for way in seen)).subquery()
    first = whole.where(_files.c.id.in_(_first(select(every.c.id), every, order, limit)))
    return repository.views(await connection.execute(scanning(_first(first, _files, order, limit))))


def _matching(filters: Filters) -> list[ColumnElement[bool]]:
    conditions: dict[str, Callable[[Any], ColumnElement[bool]]] = {
        "case_id": lambda value: _files.c.case_id == value,
        "name": lambda value: _files.c.name_folded.contains(repository.folded(value), autoescape=True),
        "sha256": lambda value: _files.c.sha256 == value,
        "kind": lambda value: _files.c.kind == value.value,
        "created_from": lambda value: _files.c.created_at >= value,
        "created_to": lambda value: _files.c.created_at < value,
        "available_from": lambda value: _files.c.available_at >= value,
        "available_to": lambda value: _files.c.available_at < value,
    }
    given = {name: getattr(filters, name) for name in conditions}
    return [conditions[name](value) for name, value in given.items() if value is not None]


def _seen(sight: Visibility) -> list[ColumnElement[bool]]:
    """The ways in which a file is visible, as conditions. No file meets two of them, and each uses its own index."""
    within = true() if sight.case_id is None else _files.c.case_id == sight.case_id
    if sight.user_id is None:
        return [within]
    mine = _files.c.owner_id == sight.user_id
    cases = select(_members.c.case_id).where(_members.c.user_id == sight.user_id)
    whole = cases.where(_members.c.role.in_([role.value for role in sight.roles]))
    seen: list[ColumnElement[bool]] = [
        within & mine & or_(_files.c.case_id.is_(None), _files.c.case_id.in_(cases)),
        within & ~mine & _files.c.case_id.in_(whole),
    ]
    return [*seen, within & ~mine & _granted(sight.user_id, whole)] if sight.granted else seen


def _granted(user_id: UUID, whole: Any) -> ColumnElement[bool]:
    """The condition that the user sees the file by a grant only.

    It leaves out files of the cases `whole`, which the user sees anyway, and files of RED cases, where grants have no
    effect.
    """
    red = select(_cases.c.id).where(_cases.c.tlp == Tlp.RED.value)
    granted = grant_rows.granted(_files, user_id, clock.now())
    elsewhere = or_(_files.c.case_id.is_(None), _files.c.case_id.not_in(whole) & _files.c.case_id.not_in(red))
    return elsewhere & granted


def _behind(after: After, order: FileOrder) -> ColumnElement[bool]:
    place = tuple_(_BY[order], _files.c.id)
    return place < tuple_(*after) if order is FileOrder.NEWEST else place > tuple_(*after)


def _first(statement: Select[Any], table: Any, order: FileOrder, limit: int) -> Select[Any]:
    by = (table.c[_BY[order].name], table.c.id)
    return statement.order_by(*([column.desc() for column in by] if order is FileOrder.NEWEST else by)).limit(limit)
