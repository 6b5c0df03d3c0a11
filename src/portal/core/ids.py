"""Ids: UUIDv7 (RFC 9562 §5.7), so that they sort by creation time and need no coordination."""

from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A new id: 48 bits of Unix time in milliseconds, then 74 random bits. An id is not a secret."""
    return uuid7()


def first_id_at(moment: datetime) -> UUID:
    """An id that is smaller than every id made at `moment` or later, and greater than all that were made before."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def text_of(id_: UUID | None) -> str | None:
    """The id as text for an audit event; None stays None."""
    return None if id_ is None else str(id_)
