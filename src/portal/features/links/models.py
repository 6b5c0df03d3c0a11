"""The `links`, `link_files`, `link_sessions` and `link_uses` tables."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from portal.db.types import big_integer, binary, long_text


class LinkRow(SQLModel, table=True):
    """What somebody without an account may do, how often, until when. Of the secret only its digest is kept.

    `kinds` are words with spaces between them: the kinds of files that are taken, all where there are none. `most` is
    of each file that goes out; `most_in_all` of everything that comes in, or of all files that were chosen together.
    `failures` counts wrong passwords since the last right one; `ended_by` says why a link was revoked. A case that is
    gone leaves its links behind: they open nothing.
    """

    __tablename__ = "links"
    __table_args__ = (
        Index("ix_links_created", "created_at", "id"),
        Index("ix_links_made_by", "made_by", "created_at", "id"),
        Index("ix_links_case", "case_id", "created_at", "id"),
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
    """A file that a link offers."""

    __tablename__ = "link_files"

    link_id: UUID = Field(primary_key=True, foreign_key="links.id")
    file_id: UUID = Field(primary_key=True, foreign_key="files.id")


class LinkSessionRow(SQLModel, table=True):
    """A link that was redeemed: good for minutes, by a token of which only the digest is kept."""

    __tablename__ = "link_sessions"

    id: UUID = Field(primary_key=True)
    link_id: UUID = Field(foreign_key="links.id", index=True)
    digest: bytes = binary(unique=True)
    created_at: datetime
    expires_at: datetime = Field(index=True)


class LinkUseRow(SQLModel, table=True):
    """One use of a link: a file that goes out, or one that comes in (it has no id before it is there).

    `size` is the file's; of an upload under way what it may bring. `sent` is what was handed out of it so far, and what
    a download that runs may yet hand out. A row that is `running` says until when somebody is at it.
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
