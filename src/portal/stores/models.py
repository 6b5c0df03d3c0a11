"""The `stores` table: a row for every blob store that this database was ever used with."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel


class StoreRow(SQLModel, table=True):
    """A blob store. `id` is in the store itself too. The address may hold a secret, so only the settings have it."""

    __tablename__ = "stores"

    id: UUID = Field(primary_key=True)
    scheme: str = Field(max_length=64)
    added_at: datetime
