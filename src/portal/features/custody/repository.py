"""Statements on shredded cases, their files and receipts, in the caller's transaction. Frozen views are returned."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, delete, insert, select, update

from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.db.views import view_of
from portal.features.custody.models import ReceiptRow, ShreddedFileRow, ShreddingRow
from portal.features.custody.views import Receipt, ShreddedFile, ShredderNames, Shredding
from portal.features.files.models import BlobRow, FileRow

_shreddings, _shredded, _receipts = table(ShreddingRow), table(ShreddedFileRow), table(ReceiptRow)
_files, _blobs = table(FileRow), table(BlobRow)
_LEFT = _shredded.c.removed_at.is_(None)


async def add(connection: Connection, shredding: Shredding) -> None:
    names = {name: getattr(shredding.names, name) for name in ShredderNames.__slots__}
    values = {name: getattr(shredding, name) for name in ("id", "case_id", "case_number", "begun_at", "uploads_ended")}
    await connection.execute(insert(_shreddings).values(**values, **names, data_keys=json.dumps(shredding.data_keys)))


async def find(connection: Connection, case_id: UUID) -> Shredding | None:
    """The shredding of a case."""
    row = (await connection.execute(select(_shreddings).where(_shreddings.c.case_id == case_id))).mappings().first()
    if row is None:
        return None
    names = view_of(ShredderNames, row)
    said = {name: row[name] for name in ("id", "case_id", "case_number", "begun_at", "uploads_ended", "receipt_id")}
    return Shredding(**said, names=names, data_keys=json.loads(row["data_keys"]))


async def change(connection: Connection, shredding_id: UUID, **values: Any) -> None:
    await connection.execute(update(_shreddings).where(_shreddings.c.id == shredding_id).values(**values))


async def next_files(connection: Connection, case_id: UUID, limit: int) -> list[RowMapping]:
    """Files that are still in the case, with what is said of each."""
    names = ("id", "version", "status", "size", "sha256")
    wanted = select(*(_files.c[name] for name in names)).where(_files.c.case_id == case_id)
    found = await connection.execute(scanning(wanted.order_by(_files.c.created_at, _files.c.id).limit(limit)))
    return list(found.mappings())


async def blobs_of(connection: Connection, file_id: UUID) -> list[dict[str, str]]:
    """The ids of a file's blobs, as the store names them, and their stores."""
    found = await connection.execute(select(_blobs.c.id, _blobs.c.store).where(_blobs.c.file_id == file_id))
    return [{"id": row.id.hex, "store": row.store} for row in found]


async def has_blobs(connection: Connection, file_id: UUID) -> bool:
    return (await connection.execute(select(_blobs.c.id).where(_blobs.c.file_id == file_id))).first() is not None


async def add_file(connection: Connection, shredding_id: UUID, file: ShreddedFile) -> None:
    said = {"file_id": file.file_id, "size": file.size, "sha256": file.sha256, "blobs": json.dumps(file.blobs)}
    await connection.execute(insert(_shredded).values(shredding_id=shredding_id, **said))


async def files_left(connection: Connection, shredding_id: UUID, after: UUID | None, limit: int) -> list[UUID]:
    """Files some of whose blobs may still be there, in the order of their ids."""
    wanted = select(_shredded.c.file_id).where(_shredded.c.shredding_id == shredding_id, _LEFT)
    if after is not None:
        wanted = wanted.where(_shredded.c.file_id > after)
    return list((await connection.execute(scanning(wanted.order_by(_shredded.c.file_id).limit(limit)))).scalars())


async def mark_removed(connection: Connection, shredding_id: UUID, file_id: UUID, at: datetime) -> None:
    one = (_shredded.c.shredding_id == shredding_id, _shredded.c.file_id == file_id)
    await connection.execute(update(_shredded).where(*one).values(removed_at=at))


async def take_files(connection: Connection, shredding_id: UUID) -> Sequence[ShreddedFile]:
    """All files, for the receipt: then it alone has them."""
    mine = _shredded.c.shredding_id == shredding_id
    wanted = scanning(select(_shredded).where(mine).order_by(_shredded.c.file_id))
    rows = (await connection.execute(wanted)).mappings().all()
    await connection.execute(scanning(delete(_shredded).where(mine)))
    return [
        ShreddedFile(row["file_id"], row["size"], row["sha256"], json.loads(row["blobs"]), row["removed_at"])
        for row in rows
    ]


async def add_receipt(connection: Connection, receipt: Receipt) -> None:
    await connection.execute(insert(_receipts).values({name: getattr(receipt, name) for name in Receipt.__slots__}))


async def find_receipt(connection: Connection, receipt_id: UUID) -> Receipt | None:
    row = (await connection.execute(select(_receipts).where(_receipts.c.id == receipt_id))).mappings().one_or_none()
    return None if row is None else view_of(Receipt, row)
