"""One page of a listing, newest first: its items, and where the next page begins.

Comes in: what a statement found that was asked for one item more than a page has. Leaves: a `Page`. Next: `cursor`
writes down its end for a client.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

After = tuple[datetime, UUID]
"""A place in the order (created_at, id): a page begins behind it."""


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


def page_of(found: list[_T], limit: int) -> Page[_T]:
    """The first `limit` of what was found; one more says that there is more."""
    items = found[:limit]
    return Page(items, (items[-1].created_at, items[-1].id) if len(found) > limit else None)
