"""The tables of the audit log. No foreign keys: a record outlives what it speaks of.

`audit` is only ever added to, and so is `audit_numbers`, which orders it. A row of `audit_outbox` is gone once its
event was delivered.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index
from sqlmodel import Field, SQLModel

from portal.db.types import BIG_SERIAL, big_integer, long_text, partial_index


class AuditRow(SQLModel, table=True):
    """`body` holds the canonical bytes of the whole event as text; the other columns are for searching.

    `seq` is unique, and no order of commits: on Postgres a smaller one may appear after a larger one.
    """

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_event", "event", "at", "id"),
        {"sqlite_autoincrement": True},  # a number is never given twice
    )

    seq: int | None = Field(default=None, sa_type=BIG_SERIAL, primary_key=True)
    id: UUID = Field(unique=True)
    at: datetime = Field(index=True)
    event: str = Field(max_length=64)
    actor: str = Field(max_length=200, index=True)
    subject: str | None = Field(default=None, max_length=200, index=True)
    body: str = long_text()


class AuditNumberRow(SQLModel, table=True):
    """The place of an audit row in the log that can be verified: 1, 2, 3, … without a gap.

    `settled` says that no smaller `seq` without a number could appear any more when this one was given.
    """

    __tablename__ = "audit_numbers"

    number: int = Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    seq: int = big_integer(unique=True)
    settled: bool


class OutboxRow(SQLModel, table=True):
    """An audit row that a sink has not confirmed yet. `claimed_until` is when its deliverer's lease expires."""

    __tablename__ = "audit_outbox"
    __table_args__ = (
        partial_index("ix_audit_outbox_claimed", "sink", "claimed_until", where="claimed_until IS NOT NULL"),
    )

    sink: str = Field(max_length=64, primary_key=True)
    seq: int = Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    claimed_until: datetime | None = None
