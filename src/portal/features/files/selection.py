"""Which files are to get new keys: one, those of a case, those that were sealed before a time or under exposed keys.

Comes in: a `Selection`, the caller's connection. Leaves: ids in order, a page at a time; counts. They read all files:
only administrators may ask.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select

from portal.core.ids import first_id_at
from portal.db.connection import Connection
from portal.db.statements import among, scanning
from portal.db.tables import table
from portal.features.files.models import BlobRow, FileRow
from portal.features.files.repository import is_listed

_files, _blobs = table(FileRow), table(BlobRow)


@dataclass(frozen=True, slots=True)
class Exposed:
    """Data keys that somebody may know, and files whose keys they wrapped before the files were moved."""

    data_keys: tuple[UUID, ...]
    files: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """Listed files that meet every condition that is given."""

    file_id: UUID | None = None
    case_id: UUID | None = None
    sealed_before: datetime | None = None
    exposed: Exposed | None = None


async def page(connection: Connection, selection: Selection, after: UUID | None, limit: int) -> list[UUID]:
    """The ids of at most `limit` files behind `after`, in order."""
    asked = select(_files.c.id).where(*_conditions(selection, connection.dialect.name))
    if after is not None:
        asked = asked.where(_files.c.id > after)
    found = await connection.execute(scanning(asked.order_by(_files.c.id).limit(limit)), _values(selection))
    return list(found.scalars())


async def count(connection: Connection, selection: Selection) -> tuple[int, int]:
    """The number of files, and of their bytes."""
    counted = select(func.count(), func.coalesce(func.sum(_files.c.size), 0)).select_from(_files)
    asked = counted.where(*_conditions(selection, connection.dialect.name))
    files, size = (await connection.execute(scanning(asked), _values(selection))).one()
    return int(files), int(size)


async def sealed_earlier(connection: Connection, moved: dict[UUID, datetime]) -> list[UUID]:
    """Those of `moved` whose blobs are older than their time there."""
    of_them = (among(_blobs.c.file_id, "moved", connection.dialect.name), _blobs.c.goes_at.is_(None))
    asked = select(_blobs.c.file_id, _blobs.c.id).where(*of_them)
    found = await connection.execute(scanning(asked), {"moved": list(moved)})
    return [file_id for file_id, blob_id in found if blob_id < first_id_at(moved[file_id])]


def _conditions(selection: Selection, dialect: str) -> list[ColumnElement[bool]]:
    asked = [is_listed(_files)]
    if selection.file_id is not None:
        asked.append(_files.c.id == selection.file_id)
    if selection.case_id is not None:
        asked.append(_files.c.case_id == selection.case_id)
    if selection.sealed_before is not None:
        asked.append(_has_blob(_blobs.c.id < first_id_at(selection.sealed_before)))  # an id tells when it was made
    if selection.exposed is not None:
        under = _has_blob(among(_blobs.c.data_key_id, "data_keys", dialect))
        asked.append(or_(under, among(_files.c.id, "moved", dialect)))
    return asked


def _values(selection: Selection) -> dict[str, Any]:
    exposed = selection.exposed
    return {} if exposed is None else {"data_keys": list(exposed.data_keys), "moved": list(exposed.files)}


def _has_blob(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    of_it = (_blobs.c.file_id == _files.c.id, _blobs.c.goes_at.is_(None), condition)
    found: ColumnElement[bool] = select(_blobs.c.id).where(*of_it).exists()
    return found
