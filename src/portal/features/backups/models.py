"""The `backup_targets` and `backups` tables: where this portal keeps backups, and which it knows."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel


class BackupTargetRow(SQLModel, table=True):
    """A blob store that is this portal's target for backups. The id is in the store itself too."""

    __tablename__ = "backup_targets"

    id: UUID = Field(primary_key=True)
    added_at: datetime


class BackupRow(SQLModel, table=True):
    """A backup. The row is written before its first byte; `provider_key_id`, the id of the master key that its key is
    under, is NULL until the backup is whole.
    """

    __tablename__ = "backups"

    id: UUID = Field(primary_key=True)
    target_id: UUID = Field(foreign_key="backup_targets.id")
    created_at: datetime
    provider_key_id: str | None = Field(default=None, max_length=200)
