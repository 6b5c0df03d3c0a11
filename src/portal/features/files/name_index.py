"""The job that brings the index of names up to date, in batches. Comes in: a database. Leaves: rows, for `name_lookup`.

Files are indexed in the order in which they became available. No file commits with an earlier time than one that is
settled (`availability`), so the place of the last file says which files are indexed: all up to it. An upload writes
nothing for the index.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import accumulate, takewhile
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, Select, bindparam, select, tuple_

from portal.db.connection import Connection
from portal.db.statements import among, hold_alone, insert_missing, scanning, upsert
from portal.db.tables import table
from portal.db.unit_of_work import Database
from portal.features.files import availability, name_trigrams, repository
from portal.features.files.models import FileRow, IndexedFileRow, NameIndexRow

BATCH: Final = 100
"""Files of one transaction, at most: other writers wait for it."""
CHARACTERS: Final = 5_000
"""Characters of their names from which on a batch is full."""

Place = tuple[datetime, UUID]

_files = table(FileRow)
_indexed = table(IndexedFileRow)
_index = table(NameIndexRow)
_PLACE = (_files.c.available_at, _files.c.id)
_STATE = select(*_index.c).where(_index.c.id == 1)


async def bring_up_to_date(database: Database) -> int:
    """Index every file that is settled and not indexed yet. Returns their number. Safe beside itself."""
    indexed = 0
    while done := await _index_batch(database):
        indexed += done
    return indexed


async def _index_batch(database: Database) -> int:
    async with database.read() as connection:
        places = await _next(connection)
    if not places:
        return 0
    async with database.write() as connection:
        await hold_alone(connection, "the index of names")
        names = await _names(connection, [file_id for _, file_id in places])
        places = _first(places, names)
        if places:
            await _add(connection, places, names)
    return len(places)


async def _next(connection: Connection) -> Sequence[Place]:
    """The places of the first files that are not indexed, of those that are settled."""
    before = await availability.settled_before(connection)
    state = await _state(connection)
    values = {} if state is None else {"last_time": state.available_at, "last_id": state.file_id}
    values |= {} if before is None else {"before": before}
    found = await connection.execute(_unindexed(frozenset(values)), values | {"most": BATCH})
    return [(available_at, file_id) for available_at, file_id in found]


async def _state(connection: Connection) -> Row[Any] | None:
    return (await connection.execute(_STATE)).one_or_none()


@cache
def _unindexed(given: frozenset[str]) -> Select[Any]:
    unindexed = select(*_PLACE).where(repository.is_listed_everywhere(_files))
    if "last_time" in given:
        last = (bindparam("last_time", type_=_PLACE[0].type), bindparam("last_id", type_=_PLACE[1].type))
        unindexed = unindexed.where(tuple_(*_PLACE) > tuple_(*last))
    if "before" in given:
        unindexed = unindexed.where(_files.c.available_at < bindparam("before"))
    return scanning(unindexed.order_by(*_PLACE).limit(bindparam("most")))


async def _names(connection: Connection, ids: Sequence[UUID]) -> Mapping[UUID, str]:
    """The names of these files, locked until this transaction ends: a change waits, and then finds the rows made here.

    Without those that another transaction has locked: two that wait for each other's files would wait for good.
    """
    found = await connection.execute(_held(connection.dialect.name), {"ids": ids})
    return {row.id: row.name_folded for row in found}


@cache
def _held(dialect: str) -> Select[Any]:
    held = select(_files.c.id, _files.c.name_folded).where(among(_files.c.id, "ids", dialect))
    return scanning(held.with_for_update(read=True, skip_locked=True))  # SQLite ignores it: there is one writer


def _first(places: Sequence[Place], names: Mapping[UUID, str]) -> Sequence[Place]:
    """The first places, up to a file whose name is not there, and until the batch is full.

    A file that another transaction changes is left to the next run, and so are those behind it.
    """
    some = list(takewhile(lambda place: place[1] in names, places))
    lengths = accumulate(len(names[file_id]) for _, file_id in some)
    return some[: 1 + sum(length < CHARACTERS for length in lengths)]


async def _add(connection: Connection, places: Sequence[Place], names: Mapping[UUID, str]) -> None:
    """Index the files at these places. One that was moved is in the index already, and keeps its number."""
    state, ids = await _state(connection), [file_id for _, file_id in places]
    files = 0 if state is None else state.files
    found = await connection.execute(_numbers(connection.dialect.name), {"ids": ids})
    numbers = {row.file_id: row.number for row in found}
    new = [file_id for file_id in ids if file_id not in numbers]
    numbers |= {file_id: number for number, file_id in enumerate(new, files)}
    await insert_missing(connection, _indexed, [{"number": numbers[file_id], "file_id": file_id} for file_id in new])
    await name_trigrams.add(connection, ((numbers[file_id], names[file_id]) for file_id in ids))
    available_at, last = places[-1]
    reached = {"id": 1, "available_at": available_at, "file_id": last, "files": files + len(new)}
    await connection.execute(_reached(connection.dialect.name), reached)


@cache
def _numbers(dialect: str) -> Select[Any]:
    return scanning(select(*_indexed.c).where(among(_indexed.c.file_id, "ids", dialect)))


@cache
def _reached(dialect: str) -> Any:
    columns = ("available_at", "file_id", "files")
    return upsert(dialect, _index, ("id",), lambda new: {name: new[name] for name in columns})
