"""Ids: UUIDv7 (RFC 9562 §5.7), so that they sort by birth and need no coordination."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A fresh id: 48 bits of milliseconds, then 74 random bits. Not a secret."""
    return uuid7()


def text_of(id_: UUID | None) -> str | None:
    """The id as an audit event says it."""
    return None if id_ is None else str(id_)
