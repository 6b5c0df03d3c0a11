"""A listing: the files that a caller may see, filtered, newest first or in the order of availability.

Comes in: the caller's connection. Leaves: frozen views. `listing_statements` has the statement of each shape; here its
values are bound (docs/adr/0019-a-listing-reads-a-page.md).
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from portal.core import clock
from portal.core.pagination import After
from portal.db.connection import Connection
from portal.features.authz.visibility import UNRESTRICTED, Visibility
from portal.features.files import availability, listing_statements, name_lookup, repository
from portal.features.files.listing_shape import Shape
from portal.features.files.models import FileKind
from portal.features.files.order import FileOrder
from portal.features.files.views import FileView

FEW: Final = 1_000
"""Files that a filter may leave for all of them to be read and sorted; of more, those are read that come first."""
SHORT: Final = 2_000
"""Files of a listing up to which it is walked for a part of a name."""
_ALL: Final = 1 << 31
_SKEW: Final = timedelta(days=1)  # a file became available after its upload began, by clocks that differ by less
_TICK: Final = timedelta(microseconds=1)


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


async def list_page(connection: Connection, filters: Filters, after: After | None, limit: int) -> list[FileView]:
    """At most `limit` listed files that match `filters`, in their order, from behind `after`."""
    sight, name = filters.seen_by, connection.dialect.name
    if filters.case_id and sight.case_id and filters.case_id != sight.case_id:
        return []  # the caller is confined to another case
    settled = await availability.settled_before(connection) if filters.by_availability else None
    values = _values(filters) | _times(filters, settled, after)
    shape = Shape(name, filters.order, frozenset(values), sight.user_id is not None, sight.roles, sight.granted)
    if (rare := shape.selective) and await _few(connection, shape, values):
        shape = shape.with_rare(rare)
    elif (ids := await _named(connection, shape, filters, values)) is not None:
        shape, values = shape.with_rare("name"), values | {"ids": ids}
    statement = listing_statements.statement(shape)
    return repository.views(await connection.execute(statement, values | _bound(sight, limit)))


def _bound(sight: Visibility, limit: int) -> dict[str, Any]:
    """The values of every listing: the caller, and how much of it."""
    return {"user": sight.user_id, "moment": clock.now(), "most": limit, "last": limit - 1, "all": _ALL}


def _values(filters: Filters) -> dict[str, Any]:
    """The values of all filters but times, by name."""
    values = {
        "case_id": filters.case_id or filters.seen_by.case_id,
        "name": filters.name and _pattern(repository.folded(filters.name)),
        "sha256": filters.sha256,
        "kind": filters.kind and filters.kind.value,
    }
    return {name: value for name, value in values.items() if value is not None}


def _times(filters: Filters, settled: datetime | None, after: After | None) -> dict[str, Any]:
    """The bounds of a listing: `near` where it begins, `far` where it ends, both inclusive, by its own order.

    `other_from` and `other_to` are those of the other time. They bound the order too: a file became available after its
    upload began.
    """
    created = (filters.created_from, filters.created_to)
    available = (filters.available_from, _least(filters.available_to, settled))
    newest = filters.order is FileOrder.NEWEST
    (start, end), (other_start, other_end) = (created, available) if newest else (available, created)
    if newest:
        end = _least(end, other_end and _moved(other_end, _SKEW))
    else:
        start = max(filter(None, (start, other_start and _moved(other_start, -_SKEW))), default=None)
    last = end and _moved(end, -_TICK)
    near, far = (last, start) if newest else (start, last)
    values: dict[str, Any] = {"near": near, "far": far, "other_from": other_start, "other_to": other_end}
    if after is not None:  # it lies behind `near`
        values |= {"near": None, "after_time": after[0], "after_id": after[1]}
    return {name: value for name, value in values.items() if value is not None}


def _moved(moment: datetime, by: timedelta) -> datetime:
    """The moment moved; at either end of all time as it is."""
    try:
        return moment + by
    except OverflowError:
        return moment


def _least(*times: datetime | None) -> datetime | None:
    return min(filter(None, times), default=None)


async def _few(connection: Connection, shape: Shape, values: dict[str, Any]) -> bool:
    """Whether at most FEW files match the filter `shape.selective`."""
    counted = listing_statements.counted(shape)
    return int(await connection.scalar(counted, values | {"most": FEW + 1}) or 0) <= FEW


async def _named(connection: Connection, shape: Shape, filters: Filters, values: dict[str, Any]) -> list[UUID] | None:
    """The ids of at most FEW files; those of them that have the part of a name are all that have it.

    None for a listing that is to be walked: the index of names finds too many files, or none is needed.
    """
    part = repository.folded(filters.name or "")
    if len(part) < name_lookup.SHORTEST or await _is_short(connection, shape.without("name"), filters.seen_by, values):
        return None
    return await name_lookup.find(connection, part, values["name"], FEW)


async def _is_short(connection: Connection, shape: Shape, sight: Visibility, values: dict[str, Any]) -> bool:
    """Whether the listing has at most SHORT files.

    To read them takes less than to look in the index of all names. And how long it takes tells a caller who sees few
    files nothing of the names of others.
    """
    if shape.everywhere:
        return False
    count = await connection.scalar(listing_statements.seen(shape), values | _bound(sight, SHORT + 1))
    return int(count or 0) <= SHORT


def _pattern(part: str) -> str:
    """The pattern of LIKE for texts that contain `part`, with `/` before what is no wildcard."""
    return "%" + re.sub("[/%_]", r"/\g<0>", part) + "%"
