"""Statements that both dialects support, but that SQLAlchemy has in a separate module for each.

A statement is built once and cached, and its values come with each call: building one takes as long as SQLite needs to
execute it.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Executable,
    RowMapping,
    Text,
    Uuid,
    any_,
    bindparam,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator

from portal.db.connection import Connection

_T = TypeVar("_T", bound=Executable)
_SCANS: Final = "portal_scans"
_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


def scanning(statement: _T) -> _T:
    """The statement, marked as one that may read many rows, or bytes that have not been read for long.

    SQLite executes it in a thread. Without the mark it executes a statement on the event loop: it must find its few
    rows by an index.
    """
    return statement.execution_options(**{_SCANS: True})


def may_scan(statement: Executable) -> bool:
    """Whether the statement is marked as `scanning`."""
    return _SCANS in statement.get_execution_options()


def one_of(column: Any, words: Iterable[str]) -> ColumnElement[bool]:
    """The condition that the column has one of these words, which are names in the code, such as statuses.

    They stand in the statement's text: a partial index is used only by a condition in its own words, and bound values
    would be written into the text anew with each execution.
    """
    condition: ColumnElement[bool] = column.in_([literal_column(f"'{word}'") for word in words])
    return condition


async def insert_unless_taken(
    connection: Connection, table: Any, values: dict[str, Any], *, unique: Sequence[str] | None = None
) -> bool:
    """Insert one row. False if a row with the same unique columns exists; nothing is changed then.

    `unique` names the columns of the constraint; without it, any unique constraint counts.
    """
    statement = _insert(connection.dialect.name, table, tuple(unique or ()))
    return (await connection.execute(statement, values)).rowcount == 1


async def insert_missing(connection: Connection, table: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows whose key the table does not have yet."""
    if rows:
        await connection.execute(scanning(_insert(connection.dialect.name, table, ())), rows)


async def insert_or_lock(
    connection: Connection, table: Any, values: dict[str, Any], *, unique: Sequence[str]
) -> RowMapping:
    """The row with these `unique` columns: inserted, or as it was. It is locked until the transaction ends.

    One statement does both. An INSERT followed by a SELECT FOR UPDATE finds nothing if the row is deleted in between.
    """
    statement = _insert_or_touch(connection.dialect.name, table, tuple(unique))
    return (await connection.execute(statement, values)).mappings().one()


async def hold_alone(connection: Connection, name: str) -> None:
    """Take the exclusive lock with this name (a Postgres advisory lock), until the transaction ends. Waits for it.

    On SQLite this does nothing: a writing transaction is alone from its first statement on.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(_HOLD, {"name": name})


class _Ids(TypeDecorator[list[UUID]]):
    """Ids as one JSON text: SQLite has no arrays."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: list[UUID] | None, _dialect: Any) -> str:
        return json.dumps([each.hex for each in value or ()])


def among(column: Any, ids: str, dialect: str) -> ColumnElement[bool]:
    """The condition that `column` is one of a list of ids. The list is the bound value `ids`, however long it is."""
    if dialect == "postgresql":
        found: ColumnElement[bool] = column == any_(bindparam(ids, type_=ARRAY(Uuid)))
        return found
    each = func.json_each(bindparam(ids, type_=_Ids)).table_valued("value")
    one: ColumnElement[bool] = column.in_(select(each.c.value))
    return one


def upsert(name: str, table: Any, unique: Sequence[str], changes: Callable[[Any], dict[str, Any]]) -> Any:
    """The statement that inserts one row, or updates the row that has the same `unique` columns.

    `name` is the dialect's name. `changes` returns the new values; its argument is the row that was not inserted
    (`excluded`). Building the statement is slow: the caller must cache it.
    """
    statement = _dialect(name).insert(table)
    return statement.on_conflict_do_update(index_elements=list(unique), set_=changes(statement.excluded))


@cache
def _insert_or_touch(name: str, table: Any, unique: tuple[str, ...]) -> Any:
    return upsert(name, table, unique, lambda new: {column: new[column] for column in unique}).returning(table)


@cache
def _insert(name: str, table: Any, unique: tuple[str, ...]) -> Any:
    return _dialect(name).insert(table).on_conflict_do_nothing(index_elements=unique or None)


def _dialect(name: str) -> Any:
    return postgresql if name == "postgresql" else sqlite
