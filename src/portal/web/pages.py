"""Pages of a listing, the same on every route: how a client asks for one, and what it looks like as JSON.

Comes in: `limit` and `cursor` of a query. Leaves: the items of one page, and the cursor of the next. Next:
`core/cursor` reads and writes cursors.
"""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from portal.web.fields import Number

_T = TypeVar("_T", bound=BaseModel)


class PageQuery(BaseModel):
    """Which page of a listing."""

    model_config = ConfigDict(extra="forbid")

    limit: Number = Field(50, ge=1, le=200, description="Items a page, at most.")
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before.")


class ItemPage(BaseModel, Generic[_T]):
    """One page of a listing. A listing that always fits one page has the same two fields."""

    items: list[_T]
    next_cursor: str | None = Field(None, description="Send it as `cursor` for the next page; null on the last one.")


def page_example(item: JsonDict) -> ConfigDict:
    """The configuration of a page whose documents show this item."""
    return ConfigDict(json_schema_extra={"example": {"items": [item], "next_cursor": "Xk3…"}})
