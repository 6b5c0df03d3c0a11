"""The identity tables: users, sessions, invitations, second factors, and the counts of the sign-in throttle."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from portal.db.types import big_integer, binary, long_text, partial_index


class UserRow(SQLModel, table=True):
    """An account. `name_key` is the form in which names are compared. Sessions of an older `epoch` have ended.

    While `password_hash` is empty, no password is right.
    """

    __tablename__ = "users"
    __table_args__ = (
        Index("ix_users_created", "created_at", "id"),
        Index("ix_users_role", "role", "created_at", "id"),
        partial_index("ix_users_disabled", "created_at", "id", where="disabled_at IS NOT NULL"),
    )

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
    """One sign-in, and its family of refresh tokens. Only digests of tokens are stored.

    `previous_digest` is that of the refresh token that was replaced last, at `rotated_at`. `permissions` are words with
    spaces between them; NULL is all of them. `address` and `agent` are the origin of the sign-in.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_user_created", "user_id", "created_at", "id"),
        Index("ix_sessions_expires", "expires_at"),
        partial_index("ix_sessions_revoked", "revoked_at", where="revoked_at IS NOT NULL"),
    )

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="users.id")
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
    """A one-time secret: for a new account of `role`, or for a new password of `user_id`. Its use deletes the row."""

    __tablename__ = "invitations"

    id: UUID = Field(primary_key=True)
    digest: bytes = binary(unique=True)
    role: str | None = Field(default=None, max_length=16)
    user_id: UUID | None = Field(default=None, foreign_key="users.id", index=True)
    created_by: UUID | None = Field(default=None, foreign_key="users.id", index=True)
    created_at: datetime
    expires_at: datetime = Field(index=True)


class SecondFactorRow(SQLModel, table=True):
    """An authenticator's sealed secret. `last_step` is the last step whose code was used: no code counts twice."""

    __tablename__ = "second_factors"

    user_id: UUID = Field(primary_key=True, foreign_key="users.id")
    sealed: bytes = binary()
    last_step: int = big_integer()


class RecoveryCodeRow(SQLModel, table=True):
    """The digest of a recovery code, for a user who lost the authenticator. Its use deletes the row."""

    __tablename__ = "recovery_codes"

    user_id: UUID = Field(primary_key=True, foreign_key="users.id")
    digest: bytes = binary(primary_key=True)


class ThrottleRow(SQLModel, table=True):
    """Failed sign-ins of one name, one address, or both. `subject` is a MAC under the portal's keys."""

    __tablename__ = "sign_in_throttles"

    subject: bytes = binary(primary_key=True)
    failures: int
    last_at: datetime = Field(index=True)


class KnownAddressRow(SQLModel, table=True):
    """An address where a user signed in. There, failed attempts from elsewhere do not delay the user."""

    __tablename__ = "known_addresses"

    user_id: UUID = Field(primary_key=True, foreign_key="users.id")
    address: bytes = binary(primary_key=True)
    seen_at: datetime = Field(index=True)
