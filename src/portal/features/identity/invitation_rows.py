"""Statements on `invitations`, in the caller's transaction. Rows are returned as frozen dataclasses.

A secret is valid until it expires, while its creator is an enabled administrator, or was the command line. Redeeming it
deletes its row: of fifty concurrent requests, one succeeds.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, insert, or_, select

from portal.core.principal import Role
from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.identity.models import InvitationRow, UserRow

_rows = table(InvitationRow)
_users = table(UserRow)


@dataclass(frozen=True, slots=True)
class Invitation:
    """For a new account of `role`, or for a new password of `user_id`. `created_by` is None for the command line."""

    id: UUID
    digest: bytes = field(repr=False)
    role: Role | None
    user_id: UUID | None
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime


async def add(connection: Connection, invitation: Invitation) -> None:
    await connection.execute(insert(_rows).values({name: getattr(invitation, name) for name in Invitation.__slots__}))


async def find(connection: Connection, digest: bytes, moment: datetime) -> Invitation | None:
    statement = select(_rows).where(_rows.c.digest == digest, *_good(moment))
    row = (await connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _invitation(row)


async def redeem(connection: Connection, digest: bytes, moment: datetime) -> Invitation | None:
    """Use up an invitation and return it. None where it is not, or no longer, valid."""
    statement = delete(_rows).where(_rows.c.digest == digest, *_good(moment)).returning(_rows)
    row = (await connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _invitation(row)


async def list_good(connection: Connection, moment: datetime) -> list[Invitation]:
    """The valid invitations for new accounts, newest first. Secrets for passwords are not among them."""
    statement = select(_rows).where(_rows.c.role.is_not(None), *_good(moment)).order_by(_rows.c.id.desc())
    return [_invitation(row) for row in (await connection.execute(scanning(statement))).mappings()]


async def revoke(connection: Connection, invitation_id: UUID) -> bool:
    """Delete an invitation for a new account. False where there is none of that id."""
    done = await connection.execute(delete(_rows).where(_rows.c.id == invitation_id, _rows.c.role.is_not(None)))
    return done.rowcount == 1


async def forget_of(connection: Connection, user_id: UUID) -> None:
    """Delete every secret that could set the user's password."""
    await connection.execute(delete(_rows).where(_rows.c.user_id == user_id))


async def forget_made_by(connection: Connection, user_id: UUID) -> int:
    """Delete every secret that the user created, and return their number."""
    return (await connection.execute(scanning(delete(_rows).where(_rows.c.created_by == user_id)))).rowcount


async def forget_expired(connection: Connection, moment: datetime) -> None:
    await connection.execute(scanning(delete(_rows).where(_rows.c.expires_at <= moment)))


def _good(moment: datetime) -> tuple[ColumnElement[bool], ...]:
    maker = select(_users.c.id).where(
        _users.c.id == _rows.c.created_by, _users.c.role == Role.ADMIN.value, _users.c.disabled_at.is_(None)
    )
    return (_rows.c.expires_at > moment, or_(_rows.c.created_by.is_(None), exists(maker)))


def _invitation(row: Any) -> Invitation:
    return Invitation(**{**row, "role": None if row["role"] is None else Role(row["role"])})
