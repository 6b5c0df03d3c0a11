"""From a row to a frozen view: the columns by the names of its fields, words as members of their enums.

Comes in: a dataclass, and a row that has at least its fields. Leaves: an instance. Next: the repositories. A new
column of a view is a field there and a column of the table, and no line in between.
"""

from collections.abc import Hashable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from types import NoneType
from typing import Any, TypeVar, cast, get_type_hints

from sqlalchemy import Result, Row, RowMapping

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


def views_of(kind: type[_T], found: Result[Any], types: Mapping[str, type]) -> list[_T]:
    """The rows as `kind`, whose fields are the columns of the result, in their order; checked as in `checked_rows`."""
    names, words = _fields(cast("Hashable", kind))
    places = [(names.index(name), word) for name, word in words.items()]
    return [kind(*_worded(row, places)) for row in _checked(found, types)]


def checked_rows(found: Result[Any], types: Mapping[str, type]) -> Sequence[RowMapping]:
    """The rows, after a check that each value has its column's type. SQLite stores any type in any column.

    Raises IntegrityError for another type: such a row was edited.
    """
    return [row._mapping for row in _checked(found, types)]  # noqa: SLF001  # SQLAlchemy's public name for it


def _checked(found: Result[Any], types: Mapping[str, type]) -> Sequence[Row[Any]]:
    wanted = [types[name] for name in found.keys()]  # noqa: SIM118  # a result is no mapping
    try:
        rows = found.all()
    except ValueError:
        raise IntegrityError from None  # an invalid id or time
    for kinds in {tuple(map(type, row)) for row in rows}:  # rows of one kind are checked once
        if not all(kind is NoneType or issubclass(kind, type_) for kind, type_ in zip(kinds, wanted, strict=True)):
            raise IntegrityError
    return rows


def _worded(row: Row[Any], places: Sequence[tuple[int, type[StrEnum]]]) -> list[Any]:
    values = list(row)
    try:
        for place, word in places:
            values[place] = word(values[place])
    except ValueError:
        raise IntegrityError from None
    return values


@cache
def _fields(kind: Hashable) -> tuple[tuple[str, ...], dict[str, type[StrEnum]]]:
    hints = get_type_hints(kind)
    words = {name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, StrEnum)}
    return tuple(hints), words
