"""The `links`, `link_files`, `link_sessions` and `link_uses` tables."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from portal.db.types import big_integer, binary, long_text, partial_index


class LinkRow(SQLModel, table=True):
    """A link: what a person without an account may do, how often, until when. Only the secret's digest is stored.

    `kinds` are words with spaces between them: the kinds of file that an upload link accepts; empty accepts all. `most`
    is the number of downloads of each file; `most_in_all` is that of all chosen files together, or the number of
    uploads. `failures` counts wrong passwords since the last right one. `ended_by` is the reason of a revocation. The
    links of a deleted case remain, and open nothing.
    """

    __tablename__ = "links"
    __table_args__ = (
        Index("ix_links_created", "created_at", "id"),
        Index("ix_links_made_by", "made_by", "created_at", "id"),
        Index("ix_links_case", "case_id", "created_at", "id"),
        Index("ix_links_expires", "expires_at"),
        partial_index("ix_links_revoked", "revoked_at", where="revoked_at IS NOT NULL"),
    )

    id: UUID = Field(primary_key=True)
    kind: str = Field(max_length=16)
    made_by: UUID = Field(foreign_key="users.id")
    case_id: UUID | None = None
    digest: bytes = binary(unique=True)
    password_hash: str | None = Field(default=None, max_length=255)
    message: str = long_text()
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    ended_by: str | None = Field(default=None, max_length=20)
    most: int
    most_in_all: int | None = None
    used: int
    most_bytes: int | None = big_integer(default=None)
    used_bytes: int = big_integer()
    kinds: str = long_text()
    failures: int
    failed_uploads: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    failed_at: datetime | None = None


class LinkFileRow(SQLModel, table=True):
    """A file chosen for a link."""

    __tablename__ = "link_files"

    link_id: UUID = Field(primary_key=True, foreign_key="links.id")
    file_id: UUID = Field(primary_key=True, foreign_key="files.id", index=True)


class LinkSessionRow(SQLModel, table=True):
    """A link session: a redeemed link. It lives for minutes. Only the digest of its token is stored."""

    __tablename__ = "link_sessions"

    id: UUID = Field(primary_key=True)
    link_id: UUID = Field(foreign_key="links.id", index=True)
    digest: bytes = binary(unique=True)
    created_at: datetime
    expires_at: datetime = Field(index=True)


class LinkUseRow(SQLModel, table=True):
    """One use of a link: a download, or an upload (its `file_id` is NULL until it is done).

    `size` is the file's size in bytes; for a running upload, the bytes reserved for it. `sent` is the number of bytes
    sent so far, and those that a running download may still send. `lease_until` is the end of a `running` row's lease.
    """

    __tablename__ = "link_uses"
    __table_args__ = (
        Index("ix_link_uses_file", "link_id", "file_id"),
        Index("ix_link_uses_state", "state", "lease_until"),
    )

    id: UUID = Field(primary_key=True)
    link_id: UUID = Field(foreign_key="links.id")
    session_id: UUID
    file_id: UUID | None = None
    state: str = Field(max_length=16)
    size: int = big_integer()
    sent: int = big_integer()
    lease_until: datetime
