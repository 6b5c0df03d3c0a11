"""Statements on `blobs`: the parts of a file, in a store or in their row. Comes in: the caller's connection.

Leaves: sealed parts. A part is complete once its key is wrapped; a part whose key was destroyed is not returned.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, select, update

from portal.core.errors import Unavailable
from portal.crypto.format import BlobContext
from portal.crypto.layout import MAX_INLINE_PLAIN
from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.db.views import checked_rows
from portal.features.files.models import BlobRow, FileRow
from portal.features.files.views import FileView
from portal.strongbox.model import IN_ROW, SealedPart

_files = table(FileRow)
_blobs = table(BlobRow)
_PART_TYPES = {column.name: column.type.python_type for column in _blobs.c} | {"file_record": bytes}
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


class FileMoved(Unavailable):
    code, title = "file_moved", "The file was just moved; ask again."
    retry_after = 1


async def add_blob(connection: Connection, context: BlobContext, store: str) -> None:
    """Insert the row of a blob that is not sealed yet: only its context and its store are known."""
    await connection.execute(_ADD_BLOB, _placed(context, store))


async def add_part(connection: Connection, part: SealedPart) -> None:
    """Insert the row of a sealed part that holds its bytes itself."""
    await connection.execute(_ADD_BLOB, {**_placed(part.context, IN_ROW), **_known(part), "content": part.content})


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


async def stored_blobs(connection: Connection, file_id: UUID) -> list[tuple[str, str]]:
    """Store id and key of each blob. The store id is `IN_ROW` for a blob whose row claims to hold the bytes itself."""
    found = await connection.execute(select(_blobs.c.store, _blobs.c.id).where(_blobs.c.file_id == file_id))
    return [(row.store, row.id.hex) for row in found]


async def blob_known(connection: Connection, blob_id: UUID) -> bool:
    return (await connection.execute(select(_blobs.c.id).where(_blobs.c.id == blob_id))).first() is not None


def _placed(context: BlobContext, store: str) -> dict[str, Any]:
    values = {"id": context.blob_id, "file_id": context.file_id, "part": context.part, "store": store}
    return {**values, "key_generation": context.key_generation}


def _known(part: SealedPart) -> dict[str, Any]:
    return {name: getattr(part, name) for name in _KNOWN}
