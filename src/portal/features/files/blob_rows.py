"""Statements on `blobs`: the parts of a file, in a store or in their row. Comes in: the caller's connection.

Leaves: sealed parts. A part is complete once its key is wrapped; a part whose key was destroyed is not returned.
`let_go` destroys the key of a blob that nothing needs any more, and gives its bytes a time to go. Next: `removal`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, case, delete, func, insert, or_, select, update

from portal.core import clock
from portal.core.errors import Unavailable
from portal.crypto.format import BlobContext
from portal.crypto.layout import MAX_INLINE_PLAIN
from portal.db.connection import Connection
from portal.db.lease import LEASE
from portal.db.statements import scanning
from portal.db.tables import table
from portal.db.views import checked_rows, types_of
from portal.features.files.models import BlobRow, FileRow
from portal.features.files.views import FileView
from portal.strongbox.model import IN_ROW, SealedPart

_files = table(FileRow)
_blobs = table(BlobRow)
_PART_TYPES = types_of(_blobs.c) | {"file_record": bytes}
_KNOWN = ("data_key_id", "wrapped_key", "commitment", "plain_length", "stored_length")  # of a blob that was sealed
_COMPLETE = [_blobs.c[name].is_not(None) for name in _KNOWN]
_PARTS = (
    select(_blobs, _files.c.record.label("file_record"))
    .join(_files, _files.c.id == _blobs.c.file_id)
    .where(_blobs.c.file_id == bindparam("file"), *_COMPLETE)
    .order_by(_blobs.c.part)
)
_PARTS_WITH_BYTES = scanning(_PARTS)
_ADD_BLOB = insert(_blobs)
_STORE_PART = update(_blobs).where(_blobs.c.id == bindparam("blob"))
_WAITS = _blobs.c.goes_at.is_not(None)  # as the partial index says it
AT_ONCE: Final = timedelta(0)
"""The grace of a blob that no backup needs."""
_MARGIN: Final = LEASE  # from the end of a writer's lease to the removal of its blob: clocks may differ


@dataclass(frozen=True, slots=True)
class LetGo:
    """A blob whose bytes may go. `store` is `IN_ROW` where the row claims to hold the bytes itself."""

    id: UUID
    store: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The blobs that were let go and are still there, and their bytes."""

    blobs: int
    size: int


class FileMoved(Unavailable):
    code, title = "file_moved", "The file was just moved, or its keys were replaced; ask again."
    retry_after = 1


async def add_blob(connection: Connection, context: BlobContext, store: str) -> None:
    """Insert the row of a blob that is not sealed yet: only its context and its store are known."""
    await connection.execute(_ADD_BLOB, _placed(context, store))


async def add_part(connection: Connection, part: SealedPart) -> None:
    """Insert the row of a sealed part that holds its bytes itself."""
    await connection.execute(_ADD_BLOB, {**_placed(part.context, IN_ROW), **_known(part), "content": part.content})


async def add_replacing(connection: Connection, context: BlobContext, store: str) -> None:
    """Insert the row of a blob that is to replace others of a listed file: its bytes go unless it is kept alive."""
    await connection.execute(_ADD_BLOB, {**_placed(context, store), "goes_at": clock.now() + LEASE + _MARGIN})


async def keep_alive(connection: Connection, blob_id: UUID, until: datetime) -> bool:
    """Renew the lease of a blob that is written. False if that was over."""
    kept = update(_blobs).where(_is_alive(blob_id)).values(goes_at=until + _MARGIN)
    return (await connection.execute(kept)).rowcount == 1


async def swap_in(connection: Connection, part: SealedPart) -> bool:
    """Make a blob that was written a part of its file. False if its lease was over: a sweep may be removing it."""
    taken = update(_blobs).where(_is_alive(part.context.blob_id)).values(**_known(part), goes_at=None)
    return (await connection.execute(taken)).rowcount == 1


async def is_part(connection: Connection, blob_id: UUID) -> bool:
    """Whether the file has the blob: it was not let go."""
    asked = select(_blobs.c.id).where(_blobs.c.id == blob_id, _blobs.c.goes_at.is_(None))
    return (await connection.execute(asked)).first() is not None


async def parts(connection: Connection, file: FileView) -> tuple[SealedPart, ...]:
    """The file's sealed parts in order. Those with a destroyed key are left out; then the file record does not match.

    Raises IntegrityError for an edited row; FileMoved if the file was moved since `file` was read.
    """
    asked = _PARTS if (file.size or 0) > MAX_INLINE_PLAIN else _PARTS_WITH_BYTES
    rows = checked_rows(await connection.execute(asked, {"file": file.id}), _PART_TYPES)
    if any(row["file_record"] != file.record for row in rows):
        raise FileMoved
    return tuple(
        SealedPart(
            context=BlobContext(row["file_id"], row["id"], row["part"], row["key_generation"]),
            data_key_id=row["data_key_id"],
            wrapped_key=row["wrapped_key"],
            commitment=row["commitment"],
            plain_length=row["plain_length"],
            stored_length=row["stored_length"],
            store=row["store"],
            content=row["content"],
        )
        for row in rows
    )


async def store_part(connection: Connection, part: SealedPart) -> None:
    await connection.execute(_STORE_PART, {"blob": part.context.blob_id, **_known(part)})


def one(blob_id: UUID) -> ColumnElement[bool]:
    """The condition that it is this blob, for `let_go`."""
    found: ColumnElement[bool] = _blobs.c.id == blob_id
    return found


def of_file(file_id: UUID) -> ColumnElement[bool]:
    """The condition that a blob is a part of the file, for `let_go`."""
    found: ColumnElement[bool] = _blobs.c.file_id == file_id
    return found


async def let_go(connection: Connection, which: ColumnElement[bool], grace: timedelta) -> None:
    """Destroy the keys of blobs that nothing needs any more. Bytes in rows go now, others when `grace` is over.

    Within the grace a backup of the database from before can still open them. After the commit of one that goes
    `AT_ONCE` the caller calls `removal.remove_due`, or leaves it to the sweep. A later call never prolongs the wait.
    """
    await connection.execute(scanning(delete(_blobs).where(which, _blobs.c.content.is_not(None))))
    goes_at = clock.now() + grace
    sooner = case((_blobs.c.goes_at < goes_at, _blobs.c.goes_at), else_=goes_at)
    await connection.execute(update(_blobs).where(which).values(wrapped_key=None, goes_at=sooner))


async def due(
    connection: Connection, moment: datetime | None, limit: int, *, skip: int = 0, file_id: UUID | None = None
) -> list[LetGo]:
    """Blobs whose time to go has come by `moment`, or all that wait if it is None: of a file, or of all.

    Those that wait were sealed: one that is being written belongs to a process, until its time has come.
    """
    wanted = select(_blobs.c.id, _blobs.c.store).where(_WAITS)
    if moment is not None:
        wanted = wanted.where(_blobs.c.goes_at <= moment)
    else:
        wanted = wanted.where(or_(_blobs.c.goes_at <= clock.now(), _blobs.c.data_key_id.is_not(None)))
    if file_id is not None:
        wanted = wanted.where(_blobs.c.file_id == file_id)
    ordered = wanted.order_by(_blobs.c.goes_at, _blobs.c.id).limit(limit).offset(skip)
    return [LetGo(*row) for row in await connection.execute(scanning(ordered))]


async def count_waiting(connection: Connection) -> Waiting:
    counted = select(func.count(), func.coalesce(func.sum(_blobs.c.stored_length), 0)).where(_WAITS)
    return Waiting(*map(int, (await connection.execute(scanning(counted))).one()))


async def forget(connection: Connection, blob_id: UUID) -> bool:
    """Delete the row of a blob whose bytes are gone. False if there was none any more."""
    return (await connection.execute(delete(_blobs).where(_blobs.c.id == blob_id))).rowcount == 1


async def blob_known(connection: Connection, blob_id: UUID) -> bool:
    return (await connection.execute(select(_blobs.c.id).where(_blobs.c.id == blob_id))).first() is not None


async def has_key(connection: Connection, blob_id: UUID) -> bool:
    """Whether a blob can be opened: it was sealed, and its key is not destroyed."""
    asked = select(_blobs.c.id).where(_blobs.c.id == blob_id, _blobs.c.wrapped_key.is_not(None))
    return (await connection.execute(asked)).first() is not None


def _is_alive(blob_id: UUID) -> ColumnElement[bool]:
    return one(blob_id) & (_blobs.c.goes_at > clock.now() + _MARGIN)


def _placed(context: BlobContext, store: str) -> dict[str, Any]:
    values = {"id": context.blob_id, "file_id": context.file_id, "part": context.part, "store": store}
    return {**values, "key_generation": context.key_generation}


def _known(part: SealedPart) -> dict[str, Any]:
    return {name: getattr(part, name) for name in _KNOWN}
