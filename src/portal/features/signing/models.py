"""The `signing_keys` table."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from portal.db.types import binary


class SigningKeyRow(SQLModel, table=True):
    """An Ed25519 key. `id` is the thumbprint of its public half (RFC 7638), which stays for good.

    `sealed` is the private half, sealed under a key from SECRET_KEY; NULL as soon as the key is retired: it never signs
    again. At most one key is not retired.
    """

    __tablename__ = "signing_keys"

    id: str = Field(max_length=43, primary_key=True)
    public: bytes = binary()
    sealed: bytes | None = binary(default=None, nullable=True)
    created_at: datetime
    retired_at: datetime | None = None
