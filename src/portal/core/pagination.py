"""One page of a listing, newest first: its items, and where the next page begins.

Comes in: what a statement found that was asked for one item more than a page has. Leaves: a `Page`. Next: `cursor`
writes down its end for a client.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

After = tuple[datetime, UUID]
"""A place in an order (a time, an id): a page begins behind it."""


class Dated(Protocol):
    """What listings are ordered by."""

    @property
    def created_at(self) -> datetime: ...

    @property
    def id(self) -> UUID: ...


_T = TypeVar("_T", bound=Dated)


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """`next_after` is None at the end."""

    items: list[_T]
    next_after: After | None


def page_of(found: list[_T], limit: int, place: Callable[[_T], After] | None = None) -> Page[_T]:
    """The first `limit` of what was found; one more says that there is more. `place` is where an item stands."""
    items = found[:limit]
    return Page(items, (place or _by_birth)(items[-1]) if len(found) > limit else None)


def _by_birth(item: Dated) -> After:
    return item.created_at, item.id
