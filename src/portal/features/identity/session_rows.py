"""Statements on `sessions`, for `sessions` and `own_sessions`. Rows are returned as frozen dataclasses.

A session is *unended* while it is not revoked, its user is enabled, and the user's epoch is the session's. It is *live*
while it is unended, has not expired, and was used within the idle timeout. `unended_user` looks at no clock: it is for
work that began while the session was live.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, or_, select, tuple_, update

from portal.core.pagination import After
from portal.core.principal import EVERY_PERMISSION, Permission, Role
from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.identity.models import SessionRow, UserRow
from portal.features.identity.repository import User

_users = table(UserRow)
_sessions = table(SessionRow)
_OF_SESSION = ("permissions", "proved_at", "used_at")
_UNENDED = (
    _sessions.c.revoked_at.is_(None),
    _sessions.c.epoch == _users.c.epoch,
    _users.c.disabled_at.is_(None),
)
_WITH_USER = _users.join(_sessions, _sessions.c.user_id == _users.c.id)
_COLUMNS = (*_users.c, *(_sessions.c[name].label(f"session_{name}") for name in _OF_SESSION))
_UNENDED_USER = select(*_COLUMNS).select_from(_WITH_USER).where(_sessions.c.id == bindparam("session"), *_UNENDED)
_LIVE_USER = _UNENDED_USER.where(  # runs with every request, so it is built once
    _sessions.c.expires_at > bindparam("moment"), _sessions.c.used_at > bindparam("unused_since")
)


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in. `previous_digest` is that of the refresh token that was replaced last, at `rotated_at`.

    `proved_at`: when the password was last entered in this session. `used_at`: its last use, to the minute.
    """

    id: UUID
    user_id: UUID
    epoch: int
    refresh_digest: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    previous_digest: bytes | None = field(default=None, repr=False)
    rotated_at: datetime | None = None
    proved_at: datetime | None = None
    used_at: datetime | None = None
    address: str | None = None
    agent: str | None = None
    permissions: frozenset[Permission] = EVERY_PERMISSION


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session's rights and times, and its user as of now."""

    user: User
    permissions: frozenset[Permission]
    proved_at: datetime | None
    used_at: datetime | None


async def live_user(
    connection: Connection, session_id: UUID, moment: datetime, unused_since: datetime
) -> SignedIn | None:
    """The user of a session that is live at `moment` and was used after `unused_since`; None otherwise."""
    asked = {"session": session_id, "moment": moment, "unused_since": unused_since}
    return _signed_in((await connection.execute(_LIVE_USER, asked)).mappings().one_or_none())


async def unended_user(connection: Connection, session_id: UUID) -> SignedIn | None:
    """The user of an unended session, expired or not; None otherwise."""
    return _signed_in((await connection.execute(_UNENDED_USER, {"session": session_id})).mappings().one_or_none())


async def held(connection: Connection, session_id: UUID) -> Session | None:
    """The session, locked until the transaction ends."""
    asked = select(_sessions).where(_sessions.c.id == session_id).with_for_update()
    row = (await connection.execute(asked)).mappings().one_or_none()
    return None if row is None else _session(row)


async def list_live(
    connection: Connection,
    user_id: UUID,
    moment: datetime,
    unused_since: datetime,
    after: After | None,
    limit: int,
) -> list[Session]:
    """A user's live sessions, newest first, starting after `after`."""
    statement = select(_sessions).select_from(_WITH_USER).where(_users.c.id == user_id, *_UNENDED)
    statement = statement.where(_sessions.c.expires_at > moment, _sessions.c.used_at > unused_since)
    if after is not None:
        statement = statement.where(tuple_(_sessions.c.created_at, _sessions.c.id) < tuple_(*after))
    ordered = statement.order_by(_sessions.c.created_at.desc(), _sessions.c.id.desc()).limit(limit)
    return [_session(row) for row in (await connection.execute(ordered)).mappings()]


async def count_unended(connection: Connection, user_id: UUID, moment: datetime) -> int:
    counted = select(func.count()).select_from(_WITH_USER).where(_users.c.id == user_id, *_UNENDED)
    return int((await connection.execute(counted.where(_sessions.c.expires_at > moment))).scalar_one())


async def owner_of(connection: Connection, session_id: UUID) -> UUID | None:
    found = await connection.execute(select(_sessions.c.user_id).where(_sessions.c.id == session_id))
    return found.scalar_one_or_none()


async def add(connection: Connection, session: Session) -> None:
    values = {name: getattr(session, name) for name in Session.__slots__}
    values |= {"used_at": session.used_at or session.created_at, "permissions": _words(session.permissions)}
    await connection.execute(insert(_sessions).values(values))


async def rotate(connection: Connection, session: Session, new: bytes, moment: datetime) -> None:
    """Replace the refresh token's digest. `session` must be locked by `held`, with its old digest."""
    values = {"refresh_digest": new, "previous_digest": session.refresh_digest}
    await _change(connection, _sessions.c.id == session.id, **values, rotated_at=moment, used_at=moment)


async def prove(connection: Connection, session_id: UUID, moment: datetime) -> None:
    """Store when the password was last entered in the session."""
    await _change(connection, _sessions.c.id == session_id, proved_at=moment)


async def note_use(connection: Connection, session_id: UUID, moment: datetime, unless_after: datetime) -> None:
    """Store a use of the session, where the stored one is older than `unless_after`."""
    stale = or_(_sessions.c.used_at.is_(None), _sessions.c.used_at < unless_after)
    await _change(connection, _sessions.c.id == session_id, stale, used_at=moment)


async def move(connection: Connection, session_id: UUID, epoch: int, moment: datetime) -> None:
    """Move a session to the user's new epoch, so that it survives: the password was just entered in it."""
    await _change(connection, _sessions.c.id == session_id, epoch=epoch, proved_at=moment)


async def revoke(connection: Connection, session_id: UUID, moment: datetime) -> bool:
    """Revoke a session. False where it was revoked before."""
    return await _change(connection, _sessions.c.id == session_id, _sessions.c.revoked_at.is_(None), revoked_at=moment)


async def forget_over(connection: Connection, before: datetime) -> None:
    """Delete sessions that expired or were revoked before `before`. The audit log still has them."""
    over = or_(_sessions.c.expires_at < before, _sessions.c.revoked_at < before)
    await connection.execute(scanning(delete(_sessions).where(over)))


async def _change(connection: Connection, *where: ColumnElement[bool], **values: object) -> bool:
    return (await connection.execute(update(_sessions).where(*where).values(**values))).rowcount == 1


def _words(permissions: frozenset[Permission]) -> str | None:
    return None if permissions == EVERY_PERMISSION else " ".join(sorted(permissions))


def _permissions(words: str | None) -> frozenset[Permission]:
    return EVERY_PERMISSION if words is None else frozenset(map(Permission, words.split()))


def _session(columns: Any) -> Session:
    values = {name: columns[name] for name in Session.__slots__}
    return Session(**{**values, "permissions": _permissions(columns["permissions"])})


def _signed_in(columns: Any) -> SignedIn | None:
    if columns is None:
        return None
    user = User(**{**{name: columns[name] for name in User.__slots__}, "role": Role(columns["role"])})
    permissions = _permissions(columns["session_permissions"])
    return SignedIn(user, permissions, columns["session_proved_at"], columns["session_used_at"])
