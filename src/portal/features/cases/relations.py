"""Relations of callers to cases: the columns and joins that statements of any feature need, and the lock on a case.

Comes in: the caller's connection, or a table to join. Leaves: a `CaseContext` or a `Relation`, for the policy.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Exists, RowMapping, and_, bindparam, exists, select

from portal.core.errors import IntegrityError
from portal.db.connection import Connection
from portal.db.tables import table
from portal.features.authz.relation import CaseContext, CaseRole, CaseStatus, Relation, Tlp
from portal.features.cases.models import CaseRow, GlassRow, MemberRow

_cases = table(CaseRow)
_members = table(MemberRow)
_glass = table(GlassRow)

COLUMNS = (
    _cases.c.id.label("in_case_id"),
    _cases.c.status.label("case_status"),
    _cases.c.tlp.label("case_tlp"),
    _members.c.role.label("case_role"),
)


def joined(table: Any, case_id: Any) -> Any:
    """`table`, left-joined with the case that its column `case_id` names and the membership of `:caller` in it."""
    return with_membership(table.outerjoin(_cases, _cases.c.id == case_id), case_id)


def with_membership(table: Any, case_id: Any) -> Any:
    """`table`, left-joined with the membership of `:caller` in the case `case_id`."""
    mine = and_(_members.c.case_id == case_id, _members.c.user_id == bindparam("caller"))
    return table.outerjoin(_members, mine)


def broke_glass(file_id: Any, case_id: Any) -> Exists:
    """The condition that `:caller` has a break-glass right to the file of that case at `:moment`."""
    return exists().where(
        _glass.c.file_id == file_id,
        _glass.c.case_id == case_id,
        _glass.c.user_id == bindparam("caller"),
        _glass.c.expires_at > bindparam("moment"),
    )


def in_case(row: RowMapping) -> CaseContext | None:
    """The case context of a row with `COLUMNS`; None outside of a case. Raises IntegrityError for an edited row."""
    if row["case_status"] is None:
        return None
    try:
        role = None if row["case_role"] is None else CaseRole(row["case_role"])
        return CaseContext(CaseStatus(row["case_status"]), Tlp(row["case_tlp"]), role, row["in_case_id"])
    except ValueError:
        raise IntegrityError from None


_FIND = select(*COLUMNS).select_from(with_membership(_cases, _cases.c.id)).where(_cases.c.id == bindparam("case"))
_LOCK = select(_cases.c.id).where(_cases.c.id == bindparam("case"))
_LOCKS = {True: _LOCK.with_for_update(), False: _LOCK.with_for_update(read=True)}


async def find(connection: Connection, case_id: UUID, user_id: UUID) -> Relation | None:
    """The relation of a user to a case. None where there is no such case. Raises IntegrityError for an edited row."""
    row = (await connection.execute(_FIND, {"case": case_id, "caller": user_id})).one_or_none()
    return None if row is None else Relation(is_owner=True, case=in_case(row._mapping), about=case_id)  # noqa: SLF001  # its public name


async def lock_case(connection: Connection, case_id: UUID, *, exclusive: bool = False) -> None:
    """Lock a case until the transaction ends.

    Shared: no other transaction changes the case or its members. `exclusive`: none adds or removes a file either.
    Read the case after this call, not before: the lock may have waited for a change. On SQLite this does nothing,
    because a write transaction is the only writer.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(_LOCKS[exclusive], {"case": case_id})
