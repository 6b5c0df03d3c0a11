"""The `data_keys` table: one active key per scope, wrapped by a provider (`docs/format.md` 1)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from portal.db.types import big_integer, binary

_ACTIVE = text("retired_at IS NULL")


class DataKeyRow(SQLModel, table=True):
    """A wrapped data key. `check_value` distinguishes a wrong key from the provider from damaged files.

    `uses` is about the number of files that it sealed: see `Keyring`.
    """

    __tablename__ = "data_keys"
    __table_args__ = (
        Index("ux_data_keys_active_scope", "scope", unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
    )

    id: UUID = Field(primary_key=True)
    scope: str = Field(max_length=64)
    provider_key_id: str = Field(max_length=200)
    wrapped: bytes = binary()
    check_value: bytes = binary()
    created_at: datetime
    retired_at: datetime | None = None
    uses: int = big_integer(default=0)
