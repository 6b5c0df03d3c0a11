"""Statements on data keys and the files under them, for administrators. Comes in: the caller's connection.

Leaves: counts. They read all files: nobody else may ask for them.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, func, select

from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.files.models import FileRow
from portal.features.files.repository import is_listed
from portal.keyring.models import DataKeyRow

_files, _keys = table(FileRow), table(DataKeyRow)
_FILES = scanning(
    select(
        _keys.c.provider_key_id,
        func.count(),
        func.coalesce(func.sum(_files.c.size), 0),
        func.count(_files.c.case_id),
        func.count(_files.c.case_id.distinct()),
    )
    .join_from(_files, _keys, _keys.c.id == _files.c.data_key_id)
    .where(is_listed(_files))
    .group_by(_keys.c.provider_key_id)
)
_SAMPLE = scanning(
    select(_files.c.id)
    .join_from(_files, _keys, _keys.c.id == _files.c.data_key_id)
    .where(is_listed(_files), _keys.c.provider_key_id == bindparam("key_id"))
    .order_by(func.random())
    .limit(bindparam("most"))
)


@dataclass(frozen=True, slots=True)
class FileCount:
    """Listed files, their bytes, how many of the files are in a case, and in how many cases."""

    files: int = 0
    size: int = 0
    in_cases: int = 0
    cases: int = 0


async def count_files(connection: Connection) -> dict[str, FileCount]:
    """The listed files, by the id of the master key that wraps their data key."""
    return {str(key_id): FileCount(*map(int, counts)) for key_id, *counts in await connection.execute(_FILES)}


async def sample_files(connection: Connection, key_id: str, most: int) -> list[UUID]:
    """Random listed files whose data key a master key wraps."""
    return list((await connection.execute(_SAMPLE, {"key_id": key_id, "most": most})).scalars())
