"""The `files` and `blobs` tables.

A file's row is written before its first byte, and names the blob that the bytes will become: so nothing can lie in the
store that no row knows of, and a sweep needs no guessing. The bytes of a small file come with its row.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from portal.db.types import big_integer, binary, long_text


class Status(StrEnum):
    """Where a file is in its life. Lists show READY and QUARANTINED."""

    PENDING = "pending"  # bytes are flowing; a lease says that someone is at it
    READY = "ready"
    QUARANTINED = "quarantined"  # kept, not delivered
    REJECTED = "rejected"  # refused for what it contains; nothing is kept
    FAILED = "failed"  # the upload did not end well; nothing is kept
    DELETING = "deleting"  # keys destroyed, bytes not yet
    DELETED = "deleted"


class Kind(StrEnum):
    """What a file is to the people who handed it in."""

    EVIDENCE = "evidence"
    SAMPLE = "sample"
    LOG = "log"
    PCAP = "pcap"
    DISK_IMAGE = "disk_image"
    MEMORY_DUMP = "memory_dump"
    REPORT = "report"
    OTHER = "other"


class FileRow(SQLModel, table=True):
    """`version` counts changes of the metadata: the ETag of PATCH and DELETE. `sha256` is lowercase hex.

    `case_id` is where the file belongs, NULL its owner's inbox; `scope` says the same to the keys. A file that is gone
    is in no case: so a case that any file is in cannot go.

    `uploaded_by` is who handed it in, as the record calls them; NULL in rows of before it was kept.

    `created_at` is when the upload began, `available_at` when it ended and the file was there, or came where it is.

    `name_folded` is the name as it is searched: databases disagree on the case of letters beyond ASCII.
    """

    __tablename__ = "files"
    __table_args__ = (
        Index("ix_files_created", "created_at", "id"),
        Index("ix_files_owner_created", "owner_id", "created_at", "id"),
        Index("ix_files_case_created", "case_id", "created_at", "id"),
        Index("ix_files_available", "available_at", "id"),
        Index("ux_files_idempotency", "owner_id", "idempotency_key", unique=True),
    )

    id: UUID = Field(primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id")
    uploaded_by: str | None = Field(default=None, max_length=100)
    case_id: UUID | None = Field(default=None, foreign_key="cases.id")
    scope: str = Field(max_length=64)
    name: str = long_text()
    name_folded: str = long_text()
    kind: str = Field(max_length=16)
    description: str = long_text()
    declared_type: str | None = Field(default=None, max_length=200)
    detected_type: str | None = Field(default=None, max_length=200)
    size: int | None = big_integer(default=None)
    sha256: str | None = Field(default=None, max_length=64, index=True)
    status: str = Field(max_length=16, index=True)
    verdict: str | None = Field(default=None, max_length=16)
    verdict_detail: str | None = Field(default=None, max_length=200)
    data_key_id: UUID | None = None
    record: bytes | None = binary(default=None, nullable=True)
    version: int = 1
    created_at: datetime
    available_at: datetime | None = None
    lease_until: datetime | None = None
    idempotency_key: str | None = Field(default=None, max_length=200)
    request_digest: str | None = Field(default=None, max_length=64)


class GrantRow(SQLModel, table=True):
    """An account's right to read one file for a while. It ends with a move of the file and with its giver's right."""

    __tablename__ = "file_grants"
    __table_args__ = (
        Index("ix_file_grants_user_created", "user_id", "created_at", "id"),
        Index("ix_file_grants_granted_by_created", "granted_by", "created_at", "id"),
    )

    id: UUID = Field(unique=True)
    file_id: UUID = Field(foreign_key="files.id", primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", primary_key=True)
    granted_by: UUID = Field(foreign_key="users.id")
    created_at: datetime
    expires_at: datetime


class BlobRow(SQLModel, table=True):
    """One part of a file. What is known only after sealing is empty before it; a destroyed key leaves NULL.

    `content` has the sealed bytes themselves where they are few; else they lie in `store`.
    """

    __tablename__ = "blobs"

    id: UUID = Field(primary_key=True)
    file_id: UUID = Field(foreign_key="files.id", index=True)
    part: int
    key_generation: int
    store: str = Field(max_length=64)
    data_key_id: UUID | None = None
    wrapped_key: bytes | None = binary(default=None, nullable=True)
    commitment: bytes | None = binary(default=None, nullable=True)
    plain_length: int | None = big_integer(default=None)
    stored_length: int | None = big_integer(default=None)
    content: bytes | None = binary(default=None, nullable=True)
