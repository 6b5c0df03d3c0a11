"""The statement that transfers files of an inbox to another owner. Comes in: the caller's connection. Leaves: ids."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update

from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.files import repository
from portal.features.files.models import FileRow

_files = table(FileRow)


async def transfer(connection: Connection, owner: UUID, heir: UUID, available_at: datetime, limit: int) -> list[UUID]:
    """Transfer at most `limit` listed files of the owner's inbox to the account `heir`. Returns their ids.

    Their idempotency keys are removed, since these belong to the former owner.
    """
    lie = (_files.c.owner_id == owner, _files.c.case_id.is_(None), repository.is_listed(_files))
    some = select(_files.c.id).where(*lie).order_by(_files.c.created_at, _files.c.id).limit(limit)
    values = {
        "owner_id": heir,
        "available_at": available_at,
        "idempotency_key": None,
        "request_digest": None,
        "version": _files.c.version + 1,
    }
    moved = update(_files).where(_files.c.id.in_(some), *lie).values(**values).returning(_files.c.id)
    return list((await connection.execute(scanning(moved))).scalars())
