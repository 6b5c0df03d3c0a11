"""The `users` and `sessions` tables."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from portal.db.types import binary


class UserRow(SQLModel, table=True):
    """`name_key` is the name as it is compared; a session of an older `epoch` is over."""

    __tablename__ = "users"

    id: UUID = Field(primary_key=True)
    name: str = Field(max_length=64)
    name_key: str = Field(max_length=256, unique=True)
    password_hash: str = Field(max_length=256)
    role: str = Field(max_length=16)
    epoch: int = 1
    created_at: datetime
    disabled_at: datetime | None = None


class SessionRow(SQLModel, table=True):
    """One sign-in and the refresh tokens that descend from it: a family. Only digests of tokens are kept."""

    __tablename__ = "sessions"

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", index=True)
    epoch: int
    refresh_digest: bytes = binary()
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
