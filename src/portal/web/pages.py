"""Pages of a listing, the same on every route: the query parameters and the JSON of a page.

Comes in: `limit` and `cursor` of a query. Leaves: the items of one page, and the cursor of the next page. Next:
`core/cursor` reads and writes cursors.
"""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from portal.core.cursor import Cursors
from portal.core.pagination import After
from portal.web.fields import Number
from portal.web.portal_state import portal_of

_T = TypeVar("_T", bound=BaseModel)
_Query = TypeVar("_Query", bound="_Paged")


class _Paged(Protocol):
    """A query with a cursor among its parameters."""

    cursor: str | None

    def model_dump_json(self, *, exclude: set[str]) -> str: ...


class PageQuery(BaseModel):
    """Which page of a listing."""

    model_config = ConfigDict(extra="forbid")

    limit: Number = Field(50, ge=1, le=200, description="Items a page, at most.")
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before.")


class ItemPage(BaseModel, Generic[_T]):
    """One page of a listing. A listing that always fits one page has the same two fields."""

    items: list[_T]
    next_cursor: str | None = Field(None, description="Send it as `cursor` for the next page; null on the last one.")


@dataclass(frozen=True, slots=True)
class Paging(Generic[_Query]):
    """The requested page of a listing. It begins behind `after`; None means the first page."""

    query: _Query
    after: After | None
    _cursors: Cursors
    _bound_to: str

    def cursor(self, next_after: After | None) -> str | None:
        """The cursor of the next page; None if this page is the last one."""
        return self._cursors.write(next_after, self._bound_to)


def paging(request: Request, query: _Query, caller_id: UUID) -> Paging[_Query]:
    """The page that the query asks for. A cursor is valid for one route, one query and one caller only.

    Raises InvalidInput for any other cursor.
    """
    asked = query.model_dump_json(exclude={"cursor", "limit"})
    bound_to = f"{request.scope['route'].name} {request.path_params} {asked} {caller_id}"
    cursors: Cursors = portal_of(request).cursors
    return Paging(query, cursors.read(query.cursor, bound_to), cursors, bound_to)


def page_example(item: JsonDict) -> ConfigDict:
    """The model configuration of a page with `item` as its example in the OpenAPI document."""
    return ConfigDict(json_schema_extra={"example": {"items": [item], "next_cursor": "Xk3…"}})
