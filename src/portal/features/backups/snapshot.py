"""Reading every row that a backup has, in one snapshot of the database, a page at a time.

Comes in: the tables of the portal. Leaves: lines, in an order in which rows may be inserted again: a row comes after
those that it refers to. Next: `creating` seals them.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Column, MetaData, Select, Table, bindparam, select, tuple_
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.views import checked_rows
from portal.features.backups import lines

LEFT_OUT: Final = {
    "sessions": "everybody signs in again",
    "link_sessions": "a link is redeemed again",
    "sign_in_throttles": "they are about the minutes before",
    "jobs": "the leases of other processes; what is periodic comes again",
    "stores": "a restored portal has a store of its own",
    "indexed_files": "made again from the names of files, by a job",
    "name_trigrams": "the same",
    "name_index": "the same",
}
"""Tables whose rows do not travel, and why."""
_PAGE: Final = 500
_HEAVY: Final = {"blobs": 32}
"""Rows of a page, where a row may hold the bytes of a small file."""


def travelling(metadata: MetaData) -> list[Table]:
    """The tables of a backup. Data keys come first: whoever reads the rows can open the blobs as they come."""
    tables = [table for table in metadata.sorted_tables if table.name not in LEFT_OUT]
    return sorted(tables, key=lambda table: table.name != "data_keys")


async def read(connection: Connection, tables: Sequence[Table], revision: str) -> AsyncGenerator[bytes, None]:
    """The lines of a snapshot. `connection` is one of `Database.snapshot`. Raises IntegrityError for a row that holds
    a value of another type than its column has: it was edited.
    """
    count = 0
    yield lines.head_line(revision)
    for table in tables:
        types = {column.name: _type(column) for column in table.c}
        kinds = lines.kinds_of(types)
        yield lines.table_line(table.name, kinds)
        async for page in _pages(connection, table, types):
            yield b"".join([lines.row_line(row, kinds) for row in page])
            count += len(page)
    yield lines.end_line(count)


async def _pages(connection: Connection, table: Table, types: dict[str, type]) -> AsyncIterator[Sequence[Any]]:
    values: dict[str, Any] = {"most": _HEAVY.get(table.name, _PAGE)}
    while True:
        page = checked_rows(await connection.execute(_page(table, first=len(values) == 1), values), types)
        if page:
            yield page
        if len(page) < values["most"]:
            return
        values |= {f"last_{column.name}": page[-1][column.name] for column in table.primary_key}


@cache
def _page(table: Table, *, first: bool) -> Select[Any]:
    key = tuple(table.primary_key)
    page = select(table).order_by(*key).limit(bindparam("most"))
    if not first:
        last = [bindparam(f"last_{column.name}", type_=column.type) for column in key]
        page = page.where(tuple_(*key) > tuple_(*last)) if len(key) > 1 else page.where(key[0] > last[0])
    return scanning(page)


def _type(column: Column[Any]) -> type:
    """The type of the column's values. SQLModel's own types, of times and short texts, do not say it themselves."""
    if isinstance(column.type, UTCDateTime):
        return datetime
    return str if isinstance(column.type, AutoString) else column.type.python_type
