"""Statements on `users` and `sessions`. Comes in: the caller's connection. Leaves: frozen rows."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.core.principal import Role
from portal.db.statements import insert_unless_taken
from portal.features.identity.models import SessionRow, UserRow

_users: Any = UserRow.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_sessions: Any = SessionRow.__table__  # type: ignore[attr-defined]
_LIVE_USER = (  # asked with every request: made once
    select(_users)
    .join(_sessions, _sessions.c.user_id == _users.c.id)
    .where(
        _sessions.c.id == bindparam("session"),
        _sessions.c.revoked_at.is_(None),
        _sessions.c.expires_at > bindparam("moment"),
        _sessions.c.epoch == _users.c.epoch,
        _users.c.disabled_at.is_(None),
    )
)


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    id: UUID
    name: str
    name_key: str
    password_hash: str = field(repr=False)
    role: Role
    epoch: int
    created_at: datetime
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in."""

    id: UUID
    user_id: UUID
    epoch: int
    refresh_digest: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None


async def add_user(connection: AsyncConnection, user: User) -> bool:
    """False where the name is taken."""
    values = {name: getattr(user, name) for name in User.__slots__} | {"role": user.role.value}
    return await insert_unless_taken(connection, _users, values)


async def any_user(connection: AsyncConnection) -> bool:
    return bool((await connection.execute(select(exists().select_from(_users)))).scalar())


async def user_by_name(connection: AsyncConnection, name_key: str) -> User | None:
    row = (await connection.execute(select(_users).where(_users.c.name_key == name_key))).one_or_none()
    return None if row is None else _user(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it


async def user_by_id(connection: AsyncConnection, user_id: UUID) -> User | None:
    row = (await connection.execute(select(_users).where(_users.c.id == user_id))).one_or_none()
    return None if row is None else _user(row._mapping)  # noqa: SLF001


async def live_user(connection: AsyncConnection, session_id: UUID, moment: datetime) -> User | None:
    """The user of a session that is neither revoked, expired nor of an older epoch; None otherwise."""
    row = (await connection.execute(_LIVE_USER, {"session": session_id, "moment": moment})).one_or_none()
    return None if row is None else _user(row._mapping)  # noqa: SLF001


async def add_session(connection: AsyncConnection, session: Session) -> None:
    values = {name: getattr(session, name) for name in Session.__slots__}
    await connection.execute(insert(_sessions).values(values))


async def rotate(connection: AsyncConnection, session_id: UUID, *, old: bytes, new: bytes) -> bool:
    """Replace the refresh token's digest if it still is `old`: of two at once, one succeeds."""
    done = await connection.execute(
        update(_sessions)
        .where(_sessions.c.id == session_id, _sessions.c.refresh_digest == old)
        .values(refresh_digest=new)
    )
    return done.rowcount == 1


async def revoke(connection: AsyncConnection, session_id: UUID, moment: datetime) -> None:
    await connection.execute(
        update(_sessions)
        .where(_sessions.c.id == session_id, _sessions.c.revoked_at.is_(None))
        .values(revoked_at=moment)
    )


def _user(columns: Any) -> User:
    return User(**{**columns, "role": Role(columns["role"])})
