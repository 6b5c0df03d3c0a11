"""From a row to a frozen view: the columns by the names of its fields, words as members of their enums.

Comes in: a dataclass, and a row that has at least its fields. Leaves: an instance. Next: the repositories. A new
column of a view is a field there and a column of the table, and no line in between.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from types import NoneType
from typing import Any, TypeVar, cast, get_type_hints

from sqlalchemy import Result, Row, RowMapping
from sqlalchemy.types import TypeDecorator

from portal.core.errors import IntegrityError

_T = TypeVar("_T")
_Words = Sequence[tuple[int, Mapping[str, StrEnum]]]
"""The places of the fields that are enums, and the members of each by their words: a call of an enum takes longer."""


def types_of(columns: Iterable[Any]) -> dict[str, type]:
    """The type of each column's values, for `checked_rows`."""
    kinds = {column.name: column.type for column in columns}
    return {
        name: (
            kind.impl_instance if isinstance(kind, TypeDecorator) else kind
        ).python_type  # a decorator's own is any object
        for name, kind in kinds.items()
    }


def view_of(kind: type[_T], row: RowMapping | Mapping[str, Any]) -> _T:
    """The row as a `kind`. Raises IntegrityError for a word that its enum does not have: such a row was edited."""
    names, words = _fields(cast("Hashable", kind))
    return kind(*_worded([row[name] for name in names], words))


def views_of(kind: type[_T], found: Result[Any], types: Mapping[str, type]) -> list[_T]:
    """The rows as `kind`; checked as in `checked_rows`. The columns are its fields, or the first of them, in order."""
    _, words = _fields(cast("Hashable", kind))
    return [kind(*_worded(list(row), words)) for row in _checked(found, types)]


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


def _worded(values: list[Any], words: _Words) -> list[Any]:
    """The values, with a member of its enum in place of each word."""
    try:
        for place, members in words:
            values[place] = members[values[place]]
    except KeyError:
        raise IntegrityError from None
    return values


@cache
def _fields(kind: Hashable) -> tuple[tuple[str, ...], _Words]:
    hints = get_type_hints(kind)
    enums = [(place, hint) for place, hint in enumerate(hints.values()) if _is_enum(hint)]
    return tuple(hints), [(place, {member.value: member for member in hint}) for place, hint in enums]


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, StrEnum)
