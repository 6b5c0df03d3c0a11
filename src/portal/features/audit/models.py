"""The `audit` table. No foreign keys: a record outlives what it speaks of. A later sealer chains `body` by `seq`."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from portal.db.types import BIG_SERIAL, long_text


class AuditRow(SQLModel, table=True):
    """`body` holds the canonical bytes of the whole event as text; the other columns are for searching."""

    __tablename__ = "audit"
    __table_args__ = {"sqlite_autoincrement": True}  # a number is never given twice

    seq: int | None = Field(default=None, sa_type=BIG_SERIAL, primary_key=True)
    id: UUID = Field(unique=True)
    at: datetime = Field(index=True)
    event: str = Field(max_length=64, index=True)
    actor: str = Field(max_length=200, index=True)
    subject: str | None = Field(default=None, max_length=200, index=True)
    body: str = long_text()
