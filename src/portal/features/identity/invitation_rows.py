"""Statements on `invitations`. Comes in: the caller's connection. Leaves: frozen rows.

A secret is good while it lasts and whoever made it still is an enabled administrator. Redeeming it deletes its row: of
fifty at once, one finds it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core.principal import Role
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


async def add(connection: AsyncConnection, invitation: Invitation) -> None:
    await connection.execute(insert(_rows).values({name: getattr(invitation, name) for name in Invitation.__slots__}))


async def find(connection: AsyncConnection, digest: bytes, moment: datetime) -> Invitation | None:
    statement = select(_rows).where(_rows.c.digest == digest, *_good(moment))
    row = (await connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _invitation(row)


async def redeem(connection: AsyncConnection, digest: bytes, moment: datetime) -> Invitation | None:
    """The invitation, which is used up; None where it is not good (any more)."""
    statement = delete(_rows).where(_rows.c.digest == digest, *_good(moment)).returning(_rows)
    row = (await connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _invitation(row)


async def list_good(connection: AsyncConnection, moment: datetime) -> list[Invitation]:
    """Those for new accounts, newest first."""
    statement = select(_rows).where(_rows.c.role.is_not(None), *_good(moment)).order_by(_rows.c.id.desc())
    return [_invitation(row) for row in (await connection.execute(statement)).mappings()]


async def revoke(connection: AsyncConnection, invitation_id: UUID) -> bool:
    """False where there is none for a new account."""
    done = await connection.execute(delete(_rows).where(_rows.c.id == invitation_id, _rows.c.role.is_not(None)))
    return done.rowcount == 1


async def forget_of(connection: AsyncConnection, user_id: UUID) -> None:
    """Every secret with which a password of that user could be set."""
    await connection.execute(delete(_rows).where(_rows.c.user_id == user_id))


async def forget_made_by(connection: AsyncConnection, user_id: UUID) -> int:
    """Every secret that the user handed out: how many there were."""
    return (await connection.execute(delete(_rows).where(_rows.c.created_by == user_id))).rowcount


async def forget_expired(connection: AsyncConnection, moment: datetime) -> None:
    await connection.execute(delete(_rows).where(_rows.c.expires_at <= moment))


def _good(moment: datetime) -> tuple[ColumnElement[bool], ...]:
    maker = select(_users.c.id).where(
        _users.c.id == _rows.c.created_by, _users.c.role == Role.ADMIN.value, _users.c.disabled_at.is_(None)
    )
    return (_rows.c.expires_at > moment, or_(_rows.c.created_by.is_(None), exists(maker)))


def _invitation(row: Any) -> Invitation:
    return Invitation(**{**row, "role": None if row["role"] is None else Role(row["role"])})
