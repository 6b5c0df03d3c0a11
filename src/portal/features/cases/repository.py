"""Statements on `cases` and `case_numbers`, in the caller's transaction. Rows are returned as frozen views."""

from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError as ConstraintError

from portal.core.pagination import After
from portal.db import statements
from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.db.views import view_of
from portal.features.authz.relation import CaseStatus
from portal.features.cases.models import CaseRow, GlassRow, MemberRow, NumberRow
from portal.features.cases.views import CaseView

_cases = table(CaseRow)
_members = table(MemberRow)
_glass = table(GlassRow)
_numbers = table(NumberRow)
_columns = [_cases.c[name] for name in CaseView.__slots__]
_FIND = select(*_columns).where(_cases.c.id == bindparam("case"))


@dataclass(frozen=True, slots=True)
class CaseFilters:
    """Filters of a listing. None does not filter. `member`: a user of the case; `only`: one case."""

    member: UUID | None = None
    status: CaseStatus | None = None
    only: UUID | None = None


async def next_number(connection: Connection, year: int) -> str:
    """The next unique case number of a year, such as `2026-0001`. It is never reused, even if the case is deleted."""
    counted = await connection.execute(_count(connection.dialect.name), {"year": year, "last": 1})
    return f"{year}-{counted.scalar_one():04d}"


async def add(connection: Connection, case: CaseView) -> None:
    await connection.execute(insert(_cases).values({name: getattr(case, name) for name in CaseView.__slots__}))


async def find(connection: Connection, case_id: UUID) -> CaseView | None:
    row = (await connection.execute(_FIND, {"case": case_id})).mappings().one_or_none()
    return None if row is None else view_of(CaseView, row)


async def list_page(connection: Connection, filters: CaseFilters, after: After | None, limit: int) -> list[CaseView]:
    """Cases, newest first, starting after `after`."""
    statement = select(*_columns)
    if filters.member is not None:
        mine = select(_members.c.case_id).where(_members.c.user_id == filters.member)
        statement = statement.where(_cases.c.id.in_(mine))
    if filters.status is not None:
        statement = statement.where(_cases.c.status == filters.status.value)
    if filters.only is not None:
        statement = statement.where(_cases.c.id == filters.only)
    if after is not None:
        statement = statement.where(tuple_(_cases.c.created_at, _cases.c.id) < tuple_(*after))
    ordered = statement.order_by(_cases.c.created_at.desc(), _cases.c.id.desc()).limit(limit)
    return [view_of(CaseView, row) for row in (await connection.execute(scanning(ordered))).mappings()]


async def change(connection: Connection, case_id: UUID, version: int, values: dict[str, Any]) -> bool:
    """Change a case by compare-and-set on `version`. False where `version` is not the current one."""
    expected = (_cases.c.id == case_id, _cases.c.version == version)
    done = await connection.execute(update(_cases).where(*expected).values(**values, version=version + 1))
    return done.rowcount == 1


async def remove(connection: Connection, case_id: UUID) -> bool:
    """Delete a case, its members and its break-glass rights.

    False while a file is in the case. The transaction has then failed: the caller must roll it back.
    """
    for rows in (_glass, _members):
        await connection.execute(delete(rows).where(rows.c.case_id == case_id))
    try:
        await connection.execute(delete(_cases).where(_cases.c.id == case_id))
    except ConstraintError:  # the foreign key decides: no concurrent upload can slip past it
        return False
    return True


@cache
def _count(name: str) -> Any:
    again = statements.upsert(name, _numbers, ["year"], lambda _: {"last": _numbers.c.last + 1})
    return again.returning(_numbers.c.last)
