"""The `cases`, `case_members`, `case_numbers` and `break_glass` tables."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from portal.db.types import long_text


class CaseRow(SQLModel, table=True):
    """A case. `version` counts changes of its metadata: the ETag of PATCH and DELETE."""

    __tablename__ = "cases"
    __table_args__ = (
        Index("ix_cases_created", "created_at", "id"),
        Index("ix_cases_status", "status", "created_at", "id"),
    )

    id: UUID = Field(primary_key=True)
    number: str = Field(max_length=16, unique=True)
    title: str = long_text()
    description: str = long_text()
    status: str = Field(max_length=16)
    severity: str = Field(max_length=16)
    tlp: str = Field(max_length=16)
    version: int = 1
    created_by: UUID = Field(foreign_key="users.id")
    created_at: datetime


class MemberRow(SQLModel, table=True):
    """The membership of one account in one case."""

    __tablename__ = "case_members"
    __table_args__ = (Index("ix_case_members_user", "user_id", "role", "case_id"),)

    case_id: UUID = Field(foreign_key="cases.id", primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", primary_key=True)
    role: str = Field(max_length=16)
    added_by: UUID = Field(foreign_key="users.id")
    added_at: datetime


class NumberRow(SQLModel, table=True):
    """The last case number of a year. A number is never reused, even if its case is deleted."""

    __tablename__ = "case_numbers"

    year: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    last: int


class GlassRow(SQLModel, table=True):
    """An administrator's temporary break-glass right to read one file of a case, with its reason.

    It ends when the file leaves the case.
    """

    __tablename__ = "break_glass"
    __table_args__ = (Index("ix_break_glass_file", "file_id", "user_id"),)

    id: UUID = Field(primary_key=True)
    case_id: UUID = Field(foreign_key="cases.id", index=True)
    file_id: UUID
    user_id: UUID = Field(foreign_key="users.id")
    reason: str = long_text()
    created_at: datetime
    expires_at: datetime
