"""The tables of shredding: a row for each shredded case, what its receipt will say of each file, and the receipts."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from portal.db.types import big_integer, long_text, partial_index


class ShreddingRow(SQLModel, table=True):
    """The shredding of one case. `data_keys` is JSON: ids and times, of keys that are gone."""

    __tablename__ = "shreddings"

    id: UUID = Field(primary_key=True)
    case_id: UUID = Field(unique=True)
    case_number: str = Field(max_length=16)
    requested_by: str = Field(max_length=200)
    requested_at: datetime
    approved_by: str | None = Field(default=None, max_length=200)
    approved_at: datetime | None = None
    begun_at: datetime
    uploads_ended: int
    data_keys: str = long_text()
    receipt_id: UUID | None = None


class ShreddedFileRow(SQLModel, table=True):
    """A file whose keys are destroyed, until the receipt says so. `blobs` is JSON: ids and stores."""

    __tablename__ = "shredded_files"
    __table_args__ = (partial_index("ix_shredded_files_left", "shredding_id", "file_id", where="removed_at IS NULL"),)

    shredding_id: UUID = Field(foreign_key="shreddings.id", primary_key=True)
    file_id: UUID = Field(primary_key=True)
    size: int | None = big_integer(default=None)
    sha256: str | None = Field(default=None, max_length=64)
    blobs: str = long_text()
    removed_at: datetime | None = None


class ReceiptRow(SQLModel, table=True):
    """A signed document, as it was given out."""

    __tablename__ = "receipts"

    id: UUID = Field(primary_key=True)
    type: str = Field(max_length=64)
    subject: str = Field(max_length=200)
    created_at: datetime
    document: str = long_text()
