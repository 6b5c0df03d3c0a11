"""The rows of a database as lines of JSON, which mean the same on both databases.

    {"portal": "snapshot", "format": 1, "revision": "0021"}
    {"table": "users", "columns": {"id": "uuid", "name": "text", …}}
    ["0190f3a29d107e2bb7aa6b1d2f3b4c5d", "admin", …]                     a row, its values in the order of the columns
    …
    {"rows": 4711}                                                       the end

Comes in: tables and their rows. Leaves: lines; and rows again. Next: `snapshot` reads a database, `restoring` fills
one.
"""

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from portal.core.clock import rfc3339
from portal.core.errors import IntegrityError

FORMAT: Final = 1
MOST_BYTES: Final = 16 << 20
"""The longest line: a row with the sealed bytes of a small file has a tenth of that."""
_KINDS: Final = {UUID: "uuid", datetime: "time", bytes: "bytes", str: "text", int: "int", bool: "bool"}
_ENCODE: Final[dict[str, Callable[[Any], str]]] = {
    "uuid": lambda value: value.hex,
    "time": rfc3339,
    "bytes": lambda value: base64.b64encode(value).decode(),
}
_DECODE: Final[dict[str, Callable[[str], Any]]] = {
    "uuid": UUID,
    "time": datetime.fromisoformat,
    "bytes": base64.b64decode,
}


@dataclass(frozen=True, slots=True)
class Head:
    """The first line: the revision of the schema that the rows have."""

    revision: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of one table, by the names of their columns. `kinds` has the kind of each column."""

    table: str
    kinds: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]


def kinds_of(types: Mapping[str, type]) -> dict[str, str]:
    """The kind of each column. Raises KeyError for a type that lines cannot hold: no table has such a column."""
    return {name: _KINDS[type_] for name, type_ in types.items()}


def head_line(revision: str) -> bytes:
    return _line({"portal": "snapshot", "format": FORMAT, "revision": revision})


def table_line(table: str, kinds: Mapping[str, str]) -> bytes:
    return _line({"table": table, "columns": dict(kinds)})


def row_line(row: Mapping[str, Any], kinds: Mapping[str, str]) -> bytes:
    return _line([_encoded(row[name], kind) for name, kind in kinds.items()])


def end_line(rows: int) -> bytes:
    return _line({"rows": rows})


async def read(pieces: AsyncIterable[memoryview], batch: int = 100) -> AsyncGenerator[Head | Rows, None]:
    """The head, then rows, at most `batch` at a time. Raises IntegrityError for anything else, or a missing end."""
    reading = _Reading(batch)
    async for line in _lines(pieces):
        for found in reading.take(line):
            yield found
    if not reading.ended:
        raise IntegrityError


class _Reading:
    """The state between two lines."""

    def __init__(self, batch: int) -> None:
        self._batch, self._seen = batch, -1
        self._table, self._kinds = "", dict[str, str]()
        self._rows: list[dict[str, Any]] = []
        self.ended = False

    def take(self, line: bytes) -> Sequence[Head | Rows]:
        """What is complete with this line."""
        try:
            return self._take(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise IntegrityError from None

    def _take(self, said: Any) -> Sequence[Head | Rows]:
        if self.ended:
            raise ValueError
        if self._seen < 0:
            return [self._begin(said)]
        if isinstance(said, list):
            return self._row(said)
        full = self._full()
        if "rows" in said:
            self.ended = said["rows"] == self._seen
        else:
            self._table, self._kinds = said["table"], said["columns"]
        return full

    def _begin(self, said: Any) -> Head:
        if (said["portal"], said["format"]) != ("snapshot", FORMAT):
            raise ValueError
        self._seen = 0
        return Head(said["revision"])

    def _row(self, values: list[Any]) -> Sequence[Rows]:
        decoded = [_decoded(value, kind) for value, kind in zip(values, self._kinds.values(), strict=True)]
        self._rows.append(dict(zip(self._kinds, decoded, strict=True)))
        self._seen += 1
        return self._full() if len(self._rows) >= self._batch else ()

    def _full(self) -> Sequence[Rows]:
        rows, self._rows = self._rows, []
        return [Rows(self._table, self._kinds, rows)] if rows else []


async def _lines(pieces: AsyncIterable[memoryview]) -> AsyncGenerator[bytes, None]:
    rest = bytearray()
    async for piece in pieces:
        rest += piece
        *whole, last = rest.split(b"\n")
        for line in whole:
            yield bytes(line)
        rest = last
        if len(rest) > MOST_BYTES:
            raise IntegrityError
    if rest:
        raise IntegrityError


def _encoded(value: Any, kind: str) -> Any:
    return value if value is None or kind not in _ENCODE else _ENCODE[kind](value)


def _decoded(value: Any, kind: str) -> Any:
    return value if value is None or kind not in _DECODE else _DECODE[kind](value)


def _line(said: Any) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"
