"""The `stores` table: every blob store that the database was ever used with."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel


class StoreRow(SQLModel, table=True):
    """`id` is what the store itself says it is. Where it is stands in the settings: an address may hold a secret."""

    __tablename__ = "stores"

    id: UUID = Field(primary_key=True)
    scheme: str = Field(max_length=64)
    added_at: datetime
