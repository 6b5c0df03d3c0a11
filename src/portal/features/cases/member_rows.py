"""Statements on `case_members` and `break_glass`, in the caller's transaction. Rows are returned as frozen views."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update

from portal.core.errors import IntegrityError
from portal.core.principal import Role
from portal.db.connection import Connection
from portal.db.statements import insert_unless_taken, one_of
from portal.db.tables import table
from portal.features.authz import policy
from portal.features.authz.relation import CaseRole
from portal.features.cases.models import GlassRow, MemberRow
from portal.features.cases.views import Glass, Member
from portal.features.identity.models import UserRow

_members = table(MemberRow)
_glass = table(GlassRow)
_users = table(UserRow)
_ABLE = one_of(_users.c.role, (role for role in Role if policy.may_be(role, CaseRole.LEAD)))
_LIST = (
    select(
        *(_members.c[name] for name in ("user_id", "role", "added_by", "added_at")),
        _users.c.name,
        _users.c.disabled_at.is_not(None).label("disabled"),
    )
    .join(_users, _users.c.id == _members.c.user_id)
    .order_by(_members.c.added_at, _members.c.user_id)
)


async def add(connection: Connection, case_id: UUID, member: Member) -> bool:
    """Add a member. False where the account is a member already."""
    values = {name: getattr(member, name) for name in ("user_id", "role", "added_by", "added_at")}
    return await insert_unless_taken(connection, _members, {**values, "case_id": case_id})


async def everyone(connection: Connection, case_id: UUID) -> list[Member]:
    """The members of a case, in the order in which they were added."""
    found = await connection.execute(_LIST.where(_members.c.case_id == case_id))
    return [_member(row._mapping) for row in found]  # noqa: SLF001  # SQLAlchemy's public name for it


async def member(connection: Connection, case_id: UUID, user_id: UUID) -> Member | None:
    asked = _LIST.where(_members.c.case_id == case_id, _members.c.user_id == user_id)
    row = (await connection.execute(asked)).one_or_none()
    return None if row is None else _member(row._mapping)  # noqa: SLF001


async def other_leads(connection: Connection, case_id: UUID, user_id: UUID) -> int:
    """The number of leads beside `user_id` whose accounts are enabled and may lead.

    The number stays true only while the case is locked exclusively.
    """
    leads = (_members.c.case_id == case_id, _members.c.role == CaseRole.LEAD.value, _members.c.user_id != user_id)
    able = (_users.c.disabled_at.is_(None), _ABLE)
    counted = select(func.count()).select_from(_members.join(_users, _users.c.id == _members.c.user_id))
    return int((await connection.execute(counted.where(*leads, *able))).scalar_one())


async def set_role(connection: Connection, case_id: UUID, user_id: UUID, role: CaseRole) -> None:
    their = (_members.c.case_id == case_id, _members.c.user_id == user_id)
    await connection.execute(update(_members).where(*their).values(role=role.value))


async def remove(connection: Connection, case_id: UUID, user_id: UUID) -> None:
    await connection.execute(delete(_members).where(_members.c.case_id == case_id, _members.c.user_id == user_id))


async def add_glass(connection: Connection, glass: Glass) -> None:
    await connection.execute(insert(_glass).values({name: getattr(glass, name) for name in GlassRow.model_fields}))


def _member(said: Any) -> Member:
    try:
        return Member(**{**said, "role": CaseRole(said["role"])})
    except ValueError:
        raise IntegrityError from None  # an edited row
