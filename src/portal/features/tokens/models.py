"""The `api_tokens` table."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from portal.db.types import binary, long_text, partial_index


class ApiTokenRow(SQLModel, table=True):
    """An API token. Only the digest of its secret is stored.

    `permissions` and `networks` are words with spaces between them; an empty `networks` allows all networks. `case_id`
    may be a case that the owner can no longer see: then the token opens nothing.
    """

    __tablename__ = "api_tokens"
    __table_args__ = (
        Index("ix_api_tokens_user_created", "user_id", "created_at", "id"),
        Index("ix_api_tokens_expires", "expires_at"),
        partial_index("ix_api_tokens_revoked", "revoked_at", where="revoked_at IS NOT NULL"),
    )

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="users.id")
    name: str = Field(max_length=100)
    digest: bytes = binary(unique=True)
    permissions: str = long_text()
    networks: str = long_text()
    case_id: UUID | None = None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
