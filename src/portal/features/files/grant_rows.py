"""Statements on `file_grants`. Comes in: the caller's connection. Leaves: frozen views, and a condition for others.

A grant is in force only while its creator still has the right to create it. Each statement checks that, so that the
grant ends at once when the creator loses the right. The row is deleted then too, so that the grant does not come back
when the creator regains the right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Exists, and_, delete, exists, or_, select, tuple_

from portal.core.pagination import After
from portal.core.principal import Role
from portal.db import statements
from portal.db.connection import Connection
from portal.db.statements import one_of, scanning
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
_givers: Any = _users.alias("grant_givers")  # aliases: the statements around this condition use both tables too
_places: Any = MemberRow.__table__.alias("grant_giver_places")  # type: ignore[attr-defined]
_PAIRS = [(role, place) for role in Role for place in CaseRole if policy.may_grant_in_case(role, place)]
_GRANTS_OWN = one_of(_givers.c.role, (role for role in Role if policy.may_grant_own(role)))
_GRANTS_IN_CASE = or_(*(one_of(_givers.c.role, [role]) & one_of(_places.c.role, [place]) for role, place in _PAIRS))
_LISTED = (
    *(_grants.c[name] for name in ("id", "file_id", "user_id", "granted_by", "created_at", "expires_at")),
    _users.c.name.label("name"),
    _files.c.case_id.label("case_id"),
)


_ANEW = ("id", "granted_by", "case_id", "created_at", "expires_at")
"""The columns that a repeated grant to the same account overwrites."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The right of an account to read one file until `expires_at`.

    `name` is that of the account; `case_id` is the case of the file, None in an inbox.
    """

    id: UUID
    file_id: UUID
    user_id: UUID
    name: str
    granted_by: UUID
    created_at: datetime
    expires_at: datetime
    case_id: UUID | None = None


def granted(files: Any, caller: Any, moment: Any) -> Exists:
    """The condition that `caller` has a grant in force, at `moment`, on the file in the current row of `files`."""
    return exists().where(
        _grants.c.file_id == files.c.id, _grants.c.user_id == caller, _grants.c.expires_at > moment, _backed(files)
    )


def with_grants(files: Any) -> Any:
    """`files`, joined with their grants: for `received`."""
    return _grants.join(files, files.c.id == _grants.c.file_id)


def received(files: Any, caller: Any, moment: Any) -> ColumnElement[bool]:
    """The condition that a row of `with_grants` is a grant to `caller` that is in force at `moment`."""
    return and_(_grants.c.user_id == caller, _grants.c.expires_at > moment, _backed(files))


async def live(connection: Connection, moment: datetime, file_id: UUID) -> list[Grant]:
    """The grants in force on one file, oldest first."""
    asked = _in_force(moment).where(_grants.c.file_id == file_id)
    rows = await connection.execute(asked.order_by(_grants.c.created_at, _grants.c.id))
    return [Grant(**row._mapping) for row in rows]  # noqa: SLF001  # SQLAlchemy's public name for it


async def page(
    connection: Connection, moment: datetime, after: After | None, limit: int, *only: ColumnElement[bool]
) -> list[Grant]:
    """The grants in force that meet all conditions `only`, newest first, from behind `after`."""
    asked = _in_force(moment).where(*only)
    if after is not None:
        asked = asked.where(tuple_(_grants.c.created_at, _grants.c.id) < tuple_(*after))
    ordered = asked.order_by(_grants.c.created_at.desc(), _grants.c.id.desc()).limit(limit)
    rows = await connection.execute(scanning(ordered))
    return [Grant(**row._mapping) for row in rows]  # noqa: SLF001


def given_by(user_id: UUID) -> ColumnElement[bool]:
    return _grants.c.granted_by == user_id


def given_to(user_id: UUID) -> ColumnElement[bool]:
    """The condition that the account received the grant, without grants on files of TLP:RED cases.

    A RED case is for its members only; a grant on its files has no effect while the case is RED.
    """
    red = exists().where(_cases.c.id == _files.c.case_id, _cases.c.tlp == Tlp.RED.value)
    return and_(_grants.c.user_id == user_id, ~red)


def in_case(case_id: UUID) -> ColumnElement[bool]:
    """The condition that the grant is on a file of the case. A file that was deleted has left its case."""
    return and_(_grants.c.case_id == case_id, _files.c.case_id.is_not(None))


async def put(connection: Connection, grant: Grant) -> None:
    """Insert the grant, or replace an earlier grant on the same file to the same account."""
    values = {name: getattr(grant, name) for name in ("file_id", "user_id", *_ANEW)}
    await connection.execute(_put(connection.dialect.name), values)


@cache
def _put(name: str) -> Any:
    return statements.upsert(
        name, _grants, ["file_id", "user_id"], lambda new: {column: new[column] for column in _ANEW}
    )


async def remove(connection: Connection, file_id: UUID, user_id: UUID | None = None) -> bool:
    """Delete the grant of one account on a file, or all grants on it if `user_id` is None. False if there was none."""
    statement = delete(_grants).where(_grants.c.file_id == file_id)
    if user_id is not None:
        statement = statement.where(_grants.c.user_id == user_id)
    return (await connection.execute(statement)).rowcount > 0


async def end_given(connection: Connection, by: UUID | None = None, *, everything: bool = False) -> Sequence[Any]:
    """Delete grants whose creator has lost the right to create them; with `everything`, all of them.

    `by` is the creator; None stands for all accounts. Returns `file_id` and `user_id` of each deleted grant.
    """
    statement = delete(_grants)
    if by is not None:
        statement = statement.where(_grants.c.granted_by == by)
    if not everything:
        statement = statement.where(~exists().where(_files.c.id == _grants.c.file_id, _backed(_files)))
    return (await connection.execute(scanning(statement.returning(_grants.c.file_id, _grants.c.user_id)))).all()


async def forget_over(connection: Connection, before: datetime) -> None:
    """Delete the grants that expired at `before` or earlier. The audit log keeps their events."""
    await connection.execute(scanning(delete(_grants).where(_grants.c.expires_at <= before)))


def _backed(files: Any) -> ColumnElement[bool]:
    """The condition that the creator of a row of `file_grants` may still create grants on that file of `files`.

    The creator is enabled, and either owns the file in an inbox or is a member of its case with the right to grant.
    """
    own = and_(files.c.case_id.is_(None), files.c.owner_id == _givers.c.id, _GRANTS_OWN)
    place = and_(_places.c.case_id == files.c.case_id, _places.c.user_id == _givers.c.id)
    # By default SQLAlchemy correlates one level up only.
    member = exists().where(place, _GRANTS_IN_CASE).correlate_except(_places)
    enabled = and_(_givers.c.id == _grants.c.granted_by, _givers.c.disabled_at.is_(None))
    return exists().where(enabled, or_(own, member)).correlate_except(_givers)


def _in_force(moment: datetime) -> Any:
    joined = _grants.join(_users, _users.c.id == _grants.c.user_id).join(_files, _files.c.id == _grants.c.file_id)
    return select(*_LISTED).select_from(joined).where(_grants.c.expires_at > moment, _backed(_files))
