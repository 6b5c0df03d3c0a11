"""Identity's tables: users and sessions, invitations, second factors, and what sign-ins are slowed down by."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from portal.db.types import big_integer, binary, long_text


class UserRow(SQLModel, table=True):
    """`name_key` is the name as it is compared; a session of an older `epoch` is over. No hash: no right password."""

    __tablename__ = "users"
    __table_args__ = (Index("ix_users_created", "created_at", "id"),)

    id: UUID = Field(primary_key=True)
    name: str = Field(max_length=64)
    name_key: str = Field(max_length=256, unique=True)
    password_hash: str = Field(max_length=256)
    role: str = Field(max_length=16)
    epoch: int = 1
    created_at: datetime
    disabled_at: datetime | None = None
    totp_since: datetime | None = None
    version: int = 1


class SessionRow(SQLModel, table=True):
    """One sign-in and the refresh tokens that descend from it: a family. Only digests of tokens are kept.

    `previous_digest` is of the refresh token that was used up last, at `rotated_at`. `permissions` are words with
    spaces between them; NULL is every one. `address` and `agent` are where the sign-in came from.
    """

    __tablename__ = "sessions"

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", index=True)
    epoch: int
    refresh_digest: bytes = binary()
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    previous_digest: bytes | None = binary(default=None, nullable=True)
    rotated_at: datetime | None = None
    proved_at: datetime | None = None
    used_at: datetime | None = None
    address: str | None = Field(default=None, max_length=64)
    agent: str | None = Field(default=None, max_length=200)
    permissions: str | None = long_text(default=None, nullable=True)


class InvitationRow(SQLModel, table=True):
    """A one-time secret: for a new account of `role`, or for a new password of `user_id`. Gone once it was used."""

    __tablename__ = "invitations"

    id: UUID = Field(primary_key=True)
    digest: bytes = binary(unique=True)
    role: str | None = Field(default=None, max_length=16)
    user_id: UUID | None = Field(default=None, foreign_key="users.id", index=True)
    created_by: UUID | None = Field(default=None, foreign_key="users.id")
    created_at: datetime
    expires_at: datetime


class SecondFactorRow(SQLModel, table=True):
    """An authenticator's sealed secret. `last_step` is the last step whose code was taken: none counts twice."""

    __tablename__ = "second_factors"

    user_id: UUID = Field(primary_key=True, foreign_key="users.id")
    sealed: bytes = binary()
    last_step: int = big_integer()


class RecoveryCodeRow(SQLModel, table=True):
    """A code for who lost the authenticator. Gone once it was used."""

    __tablename__ = "recovery_codes"

    user_id: UUID = Field(primary_key=True, foreign_key="users.id")
    digest: bytes = binary(primary_key=True)


class ThrottleRow(SQLModel, table=True):
    """Failed sign-ins of one name, one address or both; `subject` is a digest that only our keys can make."""

    __tablename__ = "sign_in_throttles"

    subject: bytes = binary(primary_key=True)
    failures: int
    last_at: datetime = Field(index=True)


class KnownAddressRow(SQLModel, table=True):
    """An address from which a user signed in: what strangers do elsewhere does not keep them waiting there."""

    __tablename__ = "known_addresses"

    user_id: UUID = Field(primary_key=True, foreign_key="users.id")
    address: bytes = binary(primary_key=True)
    seen_at: datetime = Field(index=True)
