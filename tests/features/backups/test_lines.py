"""The lines of a snapshot: what was written is read, whatever it is, and anything cut or changed in form is refused."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import portal.tables
from portal.core.errors import IntegrityError
from portal.features.backups import lines, snapshot
from portal.features.backups.lines import Head, Rows

from ... import own_loop

KINDS = {"id": "uuid", "at": "time", "raw": "bytes", "name": "text", "size": "int", "on": "bool"}
ROWS = st.fixed_dictionaries(
    {
        "id": st.uuids(),
        "at": st.none()
        | st.integers(0, 1 << 51).map(lambda n: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=n)),
        "raw": st.none() | st.binary(max_size=40),
        "name": st.none() | st.text(max_size=20),
        "size": st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
        "on": st.none() | st.booleans(),
    }
)


async def pieces(data: bytes, size: int) -> AsyncIterator[memoryview]:
    for at in range(0, len(data), size):
        yield memoryview(data)[at : at + size]


def read(data: bytes, size: int = 1000, batch: int = 2) -> list[Head | Rows]:
    async def all_of() -> list[Head | Rows]:
        return [found async for found in lines.read(pieces(data, size), batch)]

    return own_loop.run(all_of())


def written(*rows: dict[str, Any]) -> bytes:
    some = b"".join(lines.row_line(row, KINDS) for row in rows)
    return lines.head_line("0021") + lines.table_line("things", KINDS) + some + lines.end_line(len(rows))


@given(st.lists(ROWS, max_size=5), st.integers(1, 200))
def test_every_value_is_read_as_it_was_written(rows: list[dict[str, Any]], size: int) -> None:
    head, *found = read(written(*rows), size)
    assert head == Head("0021")
    assert [row for some in found if isinstance(some, Rows) for row in some.rows] == rows
    assert all(isinstance(some, Rows) and len(some.rows) <= 2 for some in found)


ROW = dict.fromkeys(KINDS) | {"id": UUID(int=1)}
WHOLE = written(ROW, ROW)


def test_lines_that_are_cut_short_are_refused() -> None:
    for cut in range(len(WHOLE)):
        with pytest.raises(IntegrityError):
            read(WHOLE[:cut])


@pytest.mark.parametrize(
    "data",
    [
        WHOLE + WHOLE,
        WHOLE.replace(b'"rows":2', b'"rows":3'),
        WHOLE.replace(b'"format":1', b'"format":2'),
        WHOLE.replace(b"null]", b"null,null]"),
        WHOLE.replace(b"snapshot", b"else"),
        b"[]\n",
    ],
)
def test_lines_of_another_form_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        read(data)


def test_every_table_travels_or_is_left_out_for_a_reason() -> None:
    tables = portal.tables.metadata.tables
    assert snapshot.LEFT_OUT.keys() <= tables.keys()
    travelling = [table.name for table in snapshot.travelling(portal.tables.metadata)]
    assert {*travelling, *snapshot.LEFT_OUT} == tables.keys()
    assert travelling.index("data_keys") < travelling.index("blobs")
