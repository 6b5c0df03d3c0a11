"""Statements on `files`. Comes in: the caller's connection. Leaves: frozen views.

Every change of status is a compare-and-set: of two racing changes, only one finds the status that it expects.
"""

import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Result, bindparam, func, literal_column, select, update

from portal.core import clock
from portal.db.connection import Connection
from portal.db.lease import expired
from portal.db.statements import insert_unless_taken, one_of, scanning
from portal.db.tables import table
from portal.db.views import checked_rows, types_of, views_of
from portal.db.views import view_of as row_view
from portal.features.authz.relation import Relation
from portal.features.cases import relations
from portal.features.files import blob_rows, grant_rows, name_trigrams
from portal.features.files.models import UNSETTLED, FileKind, FileRow, Status
from portal.features.files.views import FileView

_files = table(FileRow)
COLUMNS = [_files.c[name] for name in FileView.__slots__]
SHOWN = COLUMNS[: FileView.__slots__.index("data_key_id")]
"""The columns of a listing, which opens no file and repeats no upload: the last fields of its views stay empty."""
_VIEW_TYPES = types_of(COLUMNS)
GIVEN_UP = {"lease_until": None, "idempotency_key": None, "case_id": None}
_NEW = {"kind": FileKind.OTHER.value, "description": "", "status": Status.PENDING.value, "version": 1}
_STANDING_TYPES = _VIEW_TYPES | dict.fromkeys(("case_status", "case_tlp", "case_role"), str)
_STANDING_TYPES |= {"in_case_id": UUID, "broke_glass": bool, "granted": bool}
_PENDING = Status.PENDING.value
_NOTHING: Any = literal_column("''")

# The statements of every upload and download are built once; the values are bound in each call.
_FIND = select(*COLUMNS).where(_files.c.id == bindparam("file"))
_FIND_FOR = (
    select(
        *COLUMNS,
        *relations.COLUMNS,
        relations.broke_glass(_files.c.id, _files.c.case_id).label("broke_glass"),
        grant_rows.granted(_files, bindparam("caller"), bindparam("moment")).label("granted"),
    )
    .select_from(relations.joined(_files, _files.c.case_id))
    .where(_files.c.id == bindparam("file"))
)
_FORGOTTEN = {"name": "", "description": "", "sha256": None, "declared_type": None, "detected_type": None}
_CHANGE = update(_files).where(_files.c.id == bindparam("file"), _files.c.status == bindparam("expected"))
_FINISH = _CHANGE.returning(*COLUMNS)
_NAME = select(_files.c.name_folded).where(_files.c.id == bindparam("file"))


async def add(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Insert a file's row, pending by default. False if its id or the owner's idempotency key is taken."""
    return await insert_unless_taken(connection, _files, {**_NEW, **values, "name_folded": folded(values["name"])})


def is_listed(files: Any) -> ColumnElement[bool]:
    """The condition that a file is listed, in the words of the partial indexes: only then do the databases use them."""
    return one_of(files.c.status, (Status.READY, Status.QUARANTINED))


def is_listed_everywhere(files: Any) -> ColumnElement[bool]:
    """The same, in the words of the indexes of all places' files: who sees few places must not say it."""
    everywhere: ColumnElement[bool] = is_listed(files) & (files.c.kind != _NOTHING)
    return everywhere


def view_of(values: Mapping[str, Any]) -> FileView:
    """The view of a row that `add` inserted. `values` must be complete."""
    return row_view(FileView, {**_NEW, **values})


async def find(connection: Connection, file_id: UUID) -> FileView | None:
    return _first(await connection.execute(_FIND, {"file": file_id}))


async def find_for(connection: Connection, file_id: UUID, user_id: UUID) -> tuple[FileView, Relation] | None:
    """A file, and the user's relation to it. None if there is no such file. Raises IntegrityError for an edited row."""
    asked = {"file": file_id, "caller": user_id, "moment": clock.now()}
    rows = checked_rows(await connection.execute(_FIND_FOR, asked), _STANDING_TYPES)
    if not rows:
        return None
    file = row_view(FileView, rows[0])
    return file, Relation(
        file.owner_id == user_id, relations.in_case(rows[0]), rows[0]["broke_glass"], rows[0]["granted"], file.id
    )


async def find_by_idempotency_key(connection: Connection, owner_id: UUID, key: str) -> FileView | None:
    of_key = (_files.c.owner_id == owner_id) & (_files.c.idempotency_key == key)
    return _first(await connection.execute(select(*COLUMNS).where(of_key)))


async def renew_lease(connection: Connection, file_id: UUID, until: datetime) -> bool:
    return await _change(connection, file_id, Status.PENDING, {"lease_until": until})


async def finish(connection: Connection, file_id: UUID, values: dict[str, Any]) -> FileView | None:
    """Change a pending file to `values`, status included. None if the row was settled already."""
    said = {"file": file_id, "expected": Status.PENDING.value, **values, "lease_until": None}
    return _first(await connection.execute(_FINISH, said))


async def fail(
    connection: Connection, file_id: UUID, status: Status = Status.FAILED, *, lease_before: datetime | None = None
) -> bool:
    """Fail a pending file, let go of its blobs at once, and free its idempotency key. False if it is not pending, or
    leased beyond `lease_before`.
    """
    died = [] if lease_before is None else [expired(_files.c.lease_until, lease_before)]
    failed = await _change(connection, file_id, Status.PENDING, GIVEN_UP | {"status": status.value}, *died)
    if failed:
        await blob_rows.let_go(connection, blob_rows.of_file(file_id), blob_rows.AT_ONCE)
    return failed


async def move(connection: Connection, before: FileView, changes: dict[str, Any]) -> bool:
    """Change columns as `update_details` does, of a file whose version and file record are those of `before`."""
    return await _change_version(connection, before.id, before.version, changes, _files.c.record == before.record)


async def update_details(connection: Connection, file_id: UUID, version: int, changes: dict[str, Any]) -> bool:
    """Change columns of a listed file, and count its version up. False if `version` is not the current one."""
    if "name" in changes:
        return await _rename(connection, file_id, version, changes)
    return await _change_version(connection, file_id, version, changes)


async def replace_keys(connection: Connection, before: FileView, values: dict[str, Any]) -> bool:
    """Change what the file record rests on, of a listed file with the record of `before`: no client sees a new version.

    False if the file was moved, deleted or given other keys meanwhile.
    """
    as_before = (_files.c.id == before.id, _files.c.record == before.record, is_listed(_files))
    return (await connection.execute(update(_files).where(*as_before).values(values))).rowcount == 1


async def delete(connection: Connection, file_id: UUID, version: int, grace: timedelta) -> bool:
    """Destroy the file's keys, file record, name and description, and let go of its blobs. False if `version` is not
    the current one.

    The idempotency key stays until it expires: a late retry must not upload the deleted file again.
    """
    gone = {"status": Status.DELETED.value, "record": None, "case_id": None}
    if not await update_details(connection, file_id, version, gone | _FORGOTTEN):
        return False
    await blob_rows.let_go(connection, blob_rows.of_file(file_id), grace)
    return True


async def unsettled(connection: Connection, lease_before: datetime, after: UUID | None, limit: int) -> list[FileView]:
    """Uploads that a crash left: pending with an expired lease."""
    statement = select(*COLUMNS).where(
        one_of(_files.c.status, UNSETTLED),
        _files.c.status == _PENDING,
        expired(_files.c.lease_until, lease_before),
    )
    if after is not None:
        statement = statement.where(_files.c.id > after)
    return views(await connection.execute(scanning(statement.order_by(_files.c.id).limit(limit))))


async def count_listed(connection: Connection) -> int:
    return int((await connection.execute(scanning(select(func.count()).where(is_listed(_files))))).scalar_one())


async def listed_ids(connection: Connection, after: UUID | None, limit: int, *, only: UUID | None = None) -> list[UUID]:
    """Ids of listed files in order, for a check. Other columns are not read: in an edited row they can be bad."""
    statement = select(_files.c.id).where(is_listed(_files))
    if after is not None:
        statement = statement.where(_files.c.id > after)
    if only is not None:
        statement = statement.where(_files.c.id == only)
    return list((await connection.execute(scanning(statement.order_by(_files.c.id).limit(limit)))).scalars())


async def expire_idempotency_keys(connection: Connection, before: datetime) -> None:
    over = (_files.c.idempotency_key.is_not(None), _files.c.created_at < before, _files.c.status != _PENDING)
    freed = update(_files).where(*over).values(idempotency_key=None, request_digest=None)
    await connection.execute(scanning(freed))


def folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


async def _rename(connection: Connection, file_id: UUID, version: int, changes: dict[str, Any]) -> bool:
    """The same, with the name as searches compare it, and the file's rows in the index of names."""
    before, after = await connection.scalar(_NAME, {"file": file_id}), folded(changes["name"])
    if not await _change_version(connection, file_id, version, {**changes, "name_folded": after}):
        return False
    await name_trigrams.replace(connection, file_id, before, after)
    return True


async def _change_version(
    connection: Connection, file_id: UUID, version: int, changes: dict[str, Any], *more: ColumnElement[bool]
) -> bool:
    of_version = (_files.c.id == file_id, _files.c.version == version, is_listed(_files), *more)
    done = await connection.execute(update(_files).where(*of_version).values(**changes, version=version + 1))
    return done.rowcount == 1


async def _change(
    connection: Connection, file_id: UUID, expected: Status, values: dict[str, Any], *more: ColumnElement[bool]
) -> bool:
    statement = _CHANGE.where(*more) if more else _CHANGE
    said = {"file": file_id, "expected": expected.value, **values}
    return (await connection.execute(statement, said)).rowcount == 1


def _first(found: Result[Any]) -> FileView | None:
    files = views(found)
    return files[0] if files else None


def views(found: Result[Any]) -> list[FileView]:
    return views_of(FileView, found, _VIEW_TYPES)
