"""The tables of custody: shredded cases, what a receipt will say of each file, receipts, and requests for approval."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
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


class ApprovalRow(SQLModel, table=True):
    """A request for a second administrator's approval. At most one of an act and subject is pending.

    `state` is the subject as it was when the approval was asked for: another state needs another approval.
    `requester_id` is NULL where the command line asked.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        partial_index("ux_approvals_pending", "act", "subject", where="status = 'pending'", unique=True),
        Index("ix_approvals_requested", "requested_at", "id"),
        Index("ix_approvals_subject", "act", "subject", "requested_at"),
    )

    id: UUID = Field(primary_key=True)
    act: str = Field(max_length=16)
    subject: str = Field(max_length=200)
    state: str = Field(max_length=64)
    requested_by: str = Field(max_length=200)
    requester_id: UUID | None = None
    requested_at: datetime
    expires_at: datetime
    status: str = Field(max_length=16)
    decided_by: str | None = Field(default=None, max_length=200)
    decided_at: datetime | None = None
