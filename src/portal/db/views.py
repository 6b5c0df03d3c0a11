"""From a row to a frozen view: the columns by the names of its fields, words as members of their enums.

Comes in: a dataclass, and a row that has at least its fields. Leaves: an instance. Next: the repositories. A new
column of a view is a field there and a column of the table, and no line in between.
"""

from collections.abc import Hashable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints

from sqlalchemy import Result, RowMapping

from portal.core.errors import IntegrityError

_T = TypeVar("_T")


def view_of(kind: type[_T], row: RowMapping | Mapping[str, Any]) -> _T:
    """The row as a `kind`. Raises IntegrityError for a word that its enum does not have: such a row was edited."""
    names, words = _fields(cast("Hashable", kind))
    values = {name: row[name] for name in names}
    try:
        return kind(**values | {name: word(values[name]) for name, word in words.items()})
    except ValueError:
        raise IntegrityError from None


def checked_rows(found: Result[Any], types: Mapping[str, type]) -> Sequence[RowMapping]:
    """The rows, after a check that each value has its column's type. SQLite stores any type in any column.

    Raises IntegrityError for another type: such a row was edited.
    """
    try:
        rows = found.mappings().all()
    except ValueError:
        raise IntegrityError from None  # an invalid id or time
    if any(value is not None and not isinstance(value, types[name]) for row in rows for name, value in row.items()):
        raise IntegrityError
    return rows


@cache
def _fields(kind: Hashable) -> tuple[tuple[str, ...], dict[str, type[StrEnum]]]:
    hints = get_type_hints(kind)
    words = {name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, StrEnum)}
    return tuple(hints), words
