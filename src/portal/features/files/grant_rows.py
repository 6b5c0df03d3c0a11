"""Statements on `file_grants`. Comes in: the caller's connection. Leaves: frozen views, and a condition for others.

A grant is in force while its giver could still give it: each statement judges that, so that it ends with the right of
the giver at once. Its row is deleted when the giver loses the right, so that it does not come back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Exists, and_, delete, exists, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core.pagination import After
from portal.core.principal import Role
from portal.db import statements
from portal.db.tables import table
from portal.features.authz import policy
from portal.features.authz.relation import CaseRole, Tlp
from portal.features.cases.models import CaseRow, MemberRow
from portal.features.files.models import FileRow, GrantRow
from portal.features.identity.models import UserRow

_grants = table(GrantRow)
_cases = table(CaseRow)
_files = table(FileRow)
_users = table(UserRow)
_givers: Any = _users.alias("grant_givers")  # statements that this goes into have users and members of their own
_places: Any = MemberRow.__table__.alias("grant_giver_places")  # type: ignore[attr-defined]
_OWNERS = [role.value for role in Role if policy.may_grant_own(role)]
_MEMBERS = [(r.value, c.value) for r in Role for c in CaseRole if policy.may_grant_in_case(r, c)]
_LISTED = (
    *(_grants.c[name] for name in ("id", "file_id", "user_id", "granted_by", "created_at", "expires_at")),
    _users.c.name.label("name"),
    _files.c.case_id.label("case_id"),
)


_ANEW = ("id", "granted_by", "created_at", "expires_at")
"""What a grant that is given again has of the newer one."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Somebody who may read one file until `expires_at`. `name` is the account's; `case_id` is the file's place."""

    id: UUID
    file_id: UUID
    user_id: UUID
    name: str
    granted_by: UUID
    created_at: datetime
    expires_at: datetime
    case_id: UUID | None = None


def granted(files: Any, caller: Any, moment: Any) -> Exists:
    """Whether `caller` was let read the file of that row of `files`, as of `moment`."""
    return exists().where(
        _grants.c.file_id == files.c.id, _grants.c.user_id == caller, _grants.c.expires_at > moment, _backed(files)
    )


async def live(connection: AsyncConnection, moment: datetime, file_id: UUID) -> list[Grant]:
    """Those of one file, in the order they were given."""
    asked = _in_force(moment).where(_grants.c.file_id == file_id)
    rows = await connection.execute(asked.order_by(_grants.c.created_at, _grants.c.id))
    return [Grant(**row._mapping) for row in rows]  # noqa: SLF001  # SQLAlchemy's public name for it


async def page(
    connection: AsyncConnection, moment: datetime, after: After | None, limit: int, *only: ColumnElement[bool]
) -> list[Grant]:
    """Those of which `only` is true, newest first, from behind `after`."""
    asked = _in_force(moment).where(*only)
    if after is not None:
        asked = asked.where(tuple_(_grants.c.created_at, _grants.c.id) < tuple_(*after))
    rows = await connection.execute(asked.order_by(_grants.c.created_at.desc(), _grants.c.id.desc()).limit(limit))
    return [Grant(**row._mapping) for row in rows]  # noqa: SLF001


def given_by(user_id: UUID) -> ColumnElement[bool]:
    return _grants.c.granted_by == user_id


def given_to(user_id: UUID) -> ColumnElement[bool]:
    """But for those out of a case that is for its members alone: they are worth nothing while it is."""
    red = select(_cases.c.id).where(_cases.c.tlp == Tlp.RED.value)
    return and_(_grants.c.user_id == user_id, or_(_files.c.case_id.is_(None), _files.c.case_id.not_in(red)))


def in_case(case_id: UUID) -> ColumnElement[bool]:
    return _files.c.case_id == case_id


async def put(connection: AsyncConnection, grant: Grant) -> None:
    """Give it, or give it anew."""
    values = {name: getattr(grant, name) for name in ("file_id", "user_id", *_ANEW)}
    await connection.execute(_put(connection.dialect.name), values)


@cache
def _put(name: str) -> Any:
    return statements.upsert(
        name, _grants, ["file_id", "user_id"], lambda new: {column: new[column] for column in _ANEW}
    )


async def remove(connection: AsyncConnection, file_id: UUID, user_id: UUID | None = None) -> bool:
    """One grant, or all of a file. False where there was none."""
    statement = delete(_grants).where(_grants.c.file_id == file_id)
    if user_id is not None:
        statement = statement.where(_grants.c.user_id == user_id)
    return (await connection.execute(statement)).rowcount > 0


async def end_given(connection: AsyncConnection, by: UUID | None = None, *, everything: bool = False) -> Sequence[Any]:
    """Drop what `by` (or anybody) gave and could not give any more, or all of it: file and reader of each."""
    statement = delete(_grants)
    if by is not None:
        statement = statement.where(_grants.c.granted_by == by)
    if not everything:
        statement = statement.where(~exists().where(_files.c.id == _grants.c.file_id, _backed(_files)))
    return (await connection.execute(statement.returning(_grants.c.file_id, _grants.c.user_id))).all()


async def forget_over(connection: AsyncConnection, before: datetime) -> None:
    """Drop what is over: the record remembers it."""
    await connection.execute(delete(_grants).where(_grants.c.expires_at <= before))


def _backed(files: Any) -> ColumnElement[bool]:
    """Whether the giver of a row of `file_grants` could still give that file of `files`."""
    own = and_(files.c.case_id.is_(None), files.c.owner_id == _givers.c.id, _givers.c.role.in_(_OWNERS))
    place = and_(_places.c.case_id == files.c.case_id, _places.c.user_id == _givers.c.id)
    able = tuple_(_givers.c.role, _places.c.role).in_(_MEMBERS)
    member = exists().where(place, able).correlate_except(_places)  # of itself it would look one level up alone
    enabled = and_(_givers.c.id == _grants.c.granted_by, _givers.c.disabled_at.is_(None))
    return exists().where(enabled, or_(own, member)).correlate_except(_givers)


def _in_force(moment: datetime) -> Any:
    joined = _grants.join(_users, _users.c.id == _grants.c.user_id).join(_files, _files.c.id == _grants.c.file_id)
    return select(*_LISTED).select_from(joined).where(_grants.c.expires_at > moment, _backed(_files))
