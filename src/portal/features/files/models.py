"""The `files` and `blobs` tables.

A file's row is written before its first byte, and a blob row names the blob that the bytes will become. So every blob
in the store is named by a row, and a sweep never has to guess. A small file is stored in its blob row itself.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from portal.db.types import BIG_SERIAL, big_integer, binary, long_text, partial_index

_LISTED = "status IN ('ready', 'quarantined')"
_EVERYWHERE = f"{_LISTED} AND kind <> ''"  # always so; who does not say it cannot take these indexes
_INBOX = f"{_LISTED} AND case_id IS NULL"
_IN_CASE = f"{_LISTED} AND case_id IS NOT NULL"


class Status(StrEnum):
    """The status of a file. Only READY and QUARANTINED files are listed."""

    PENDING = "pending"  # the upload is running; a lease shows that a process is working on it
    READY = "ready"
    QUARANTINED = "quarantined"  # stored, but not delivered
    REJECTED = "rejected"  # refused because of its content; nothing is stored
    FAILED = "failed"  # the upload failed; nothing is stored
    DELETED = "deleted"  # the keys are destroyed; while its blobs wait to be removed, their rows are there


UNSETTLED = (Status.PENDING, Status.FAILED, Status.REJECTED)
"""The statuses of files that a sweep may have to settle, or to forget."""


class FileKind(StrEnum):
    """The kind of a file, as its uploader classifies it."""

    EVIDENCE = "evidence"
    SAMPLE = "sample"
    LOG = "log"
    PCAP = "pcap"
    DISK_IMAGE = "disk_image"
    MEMORY_DUMP = "memory_dump"
    REPORT = "report"
    OTHER = "other"


class FileRow(SQLModel, table=True):
    """The metadata of a file.

    `version` counts changes of the metadata; it is the ETag of PATCH and DELETE. `sha256` is that of the plaintext, in
    lowercase hex.

    `case_id` is the case of the file, NULL in its owner's inbox. `scope` is the key scope that follows from it. A
    deleted file has no case, so the foreign key protects exactly the cases that still contain a file from deletion.

    `uploaded_by` is the uploader's name in the audit log; NULL in rows older than this column.

    `created_at` is the time at which the upload began. `available_at` is the time at which the upload ended, or at
    which the file was last moved or transferred.

    `name_folded` is the name as searches compare it: databases disagree on the case of letters beyond ASCII.
    """

    __tablename__ = "files"
    __table_args__ = (
        partial_index("ix_files_created", "created_at", "id", where=_EVERYWHERE),
        partial_index("ix_files_kind", "kind", "created_at", "id", where=_EVERYWHERE),
        partial_index("ix_files_available", "available_at", "id", where=_EVERYWHERE),
        partial_index("ix_files_sha256", "sha256", "created_at", "id", where=_EVERYWHERE),
        partial_index("ix_files_inbox_created", "owner_id", "created_at", "id", where=_INBOX),
        partial_index("ix_files_inbox_kind", "owner_id", "kind", "created_at", "id", where=_INBOX),
        partial_index("ix_files_inbox_available", "owner_id", "available_at", "id", where=_INBOX),
        partial_index("ix_files_case_created", "case_id", "created_at", "id", where="case_id IS NOT NULL"),
        partial_index("ix_files_case_owner", "case_id", "owner_id", "created_at", "id", where=_IN_CASE),
        partial_index("ix_files_case_owner_available", "case_id", "owner_id", "available_at", "id", where=_IN_CASE),
        partial_index("ix_files_case_kind", "case_id", "kind", "created_at", "id", where=_IN_CASE),
        partial_index("ix_files_case_available", "case_id", "available_at", "id", where=_IN_CASE),
        partial_index("ix_files_unsettled", "id", where="status IN ('pending', 'failed', 'rejected')"),
        partial_index("ix_files_gone", "available_at", where="status = 'deleted'"),
        partial_index(
            "ux_files_idempotency", "owner_id", "idempotency_key", where="idempotency_key IS NOT NULL", unique=True
        ),
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
    sha256: str | None = Field(default=None, max_length=64)
    status: str = Field(max_length=16)
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


class IndexedFileRow(SQLModel, table=True):
    """The number of a file in the index of names: 0, 1, 2 in the order in which files came into it, for good."""

    __tablename__ = "indexed_files"

    number: int = Field(primary_key=True, sa_type=BIG_SERIAL, sa_column_kwargs={"autoincrement": False})
    file_id: UUID = Field(unique=True)


class NameTrigramRow(SQLModel, table=True):
    """A file, by its number, whose name has a trigram: three characters in a row (`name_trigrams`).

    A listed file up to the place in `NameIndexRow` has a row for each trigram of its present name; no file has one of
    another name. There is no foreign key: it would cost as much as the row.
    """

    __tablename__ = "name_trigrams"
    __table_args__ = ({"sqlite_with_rowid": False},)

    block: int = Field(primary_key=True)
    trigram: int = Field(primary_key=True)
    number: int = big_integer(primary_key=True)


class NameIndexRow(SQLModel, table=True):
    """How far the index of names is: the place of the last file in it, in the order of `available_at`; how many it has.

    There is one row, whose id is 1, or none. The file itself may have been moved or deleted since.
    """

    __tablename__ = "name_index"

    id: int = Field(primary_key=True)
    available_at: datetime
    file_id: UUID
    files: int = big_integer()


class GrantRow(SQLModel, table=True):
    """An account's right to read one file until `expires_at`.

    The grant also ends when the file is moved, or when its creator loses the right to create it. `case_id` is the case
    of the file, by which grants are listed: it never changes, since a move ends the grant.
    """

    __tablename__ = "file_grants"
    __table_args__ = (
        Index("ix_file_grants_user_created", "user_id", "created_at", "id"),
        Index("ix_file_grants_granted_by_created", "granted_by", "created_at", "id"),
        partial_index("ix_file_grants_case_created", "case_id", "created_at", "id", where="case_id IS NOT NULL"),
        Index("ix_file_grants_expires", "expires_at"),
    )

    id: UUID = Field(unique=True)
    file_id: UUID = Field(foreign_key="files.id", primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", primary_key=True)
    granted_by: UUID = Field(foreign_key="users.id")
    case_id: UUID | None = None
    created_at: datetime
    expires_at: datetime


class BlobRow(SQLModel, table=True):
    """One part of a file. Columns that are known only after sealing are NULL before it; so is a destroyed key after.

    `content` holds the sealed bytes of a small file; the bytes of all others are a blob in `store`.

    `goes_at` is set once nothing needs the blob any more: from then on the sweep removes it, and then this row.
    """

    __tablename__ = "blobs"
    __table_args__ = (partial_index("ix_blobs_goes", "goes_at", "id", where="goes_at IS NOT NULL"),)

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
    goes_at: datetime | None = None
