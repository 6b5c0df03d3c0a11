"""Statements on `backup_targets` and `backups`. Comes in: the caller's connection. Leaves: ids and counts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update

from portal.core import clock
from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.backups.models import BackupRow, BackupTargetRow

_targets, _backups = table(BackupTargetRow), table(BackupRow)


async def is_target(connection: Connection, target_id: UUID) -> bool:
    return (await connection.execute(select(_targets.c.id).where(_targets.c.id == target_id))).first() is not None


async def add_target(connection: Connection, target_id: UUID) -> None:
    await connection.execute(insert(_targets).values(id=target_id, added_at=clock.now()))


async def add(connection: Connection, backup_id: UUID, target_id: UUID, created_at: datetime) -> None:
    """Add a backup that is not whole yet."""
    values = {"id": backup_id, "target_id": target_id, "created_at": created_at}
    await connection.execute(insert(_backups).values(**values))


async def set_key(connection: Connection, backup_id: UUID, provider_key_id: str) -> None:
    """Say that a backup is whole, and which master key its key is under."""
    changing = update(_backups).where(_backups.c.id == backup_id)
    await connection.execute(changing.values(provider_key_id=provider_key_id))


async def remove(connection: Connection, backup_id: UUID) -> None:
    await connection.execute(delete(_backups).where(_backups.c.id == backup_id))


async def known(connection: Connection, target_id: UUID) -> dict[UUID, str | None]:
    """The backups at a target; of those that are not whole the key is None."""
    asked = select(_backups.c.id, _backups.c.provider_key_id).where(_backups.c.target_id == target_id)
    return {row.id: row.provider_key_id for row in await connection.execute(scanning(asked.order_by(_backups.c.id)))}


async def count_by_key(connection: Connection) -> dict[str, int]:
    """The number of whole backups under each master key, at all targets."""
    counted = select(_backups.c.provider_key_id, func.count()).where(_backups.c.provider_key_id.is_not(None))
    found = await connection.execute(scanning(counted.group_by(_backups.c.provider_key_id)))
    return {str(key_id): int(count) for key_id, count in found}
