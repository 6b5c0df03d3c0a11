"""One page of a listing: its items, and where the next page begins. The default order is newest first.

A statement fetches one item more than a page has; `page_of` makes a `Page` of the result. Next: `cursor` writes
`next_after` as a text for the client.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

After = tuple[datetime, UUID]
"""A position in a listing's order, as (time, id). A page begins with the item behind it."""


class Dated(Protocol):
    """An item with the two fields that listings are ordered by."""

    @property
    def created_at(self) -> datetime: ...

    @property
    def id(self) -> UUID: ...


_T = TypeVar("_T", bound=Dated)


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """The items of one page. `next_after` is None on the last page."""

    items: list[_T]
    next_after: After | None


def page_of(found: list[_T], limit: int, place: Callable[[_T], After] | None = None) -> Page[_T]:
    """The page of the first `limit` items of `found`. A further item in `found` means that there is a next page.

    `place` returns the position of an item; by default its (created_at, id).
    """
    items = found[:limit]
    return Page(items, (place or _by_birth)(items[-1]) if len(found) > limit else None)


def _by_birth(item: Dated) -> After:
    return item.created_at, item.id
