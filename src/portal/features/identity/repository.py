"""Statements on `users`, in the caller's transaction. Rows are returned as frozen dataclasses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, select, tuple_, update

from portal.core.pagination import After
from portal.core.principal import Role
from portal.db.connection import Connection
from portal.db.statements import insert_unless_taken, scanning
from portal.db.tables import table
from portal.features.identity.models import UserRow
from portal.features.identity.names import is_name, name_key

NO_PASSWORD = ""  # stored as the hash while an account has no password

_users = table(UserRow)


@dataclass(frozen=True, slots=True)
class User:
    """An account. Sessions of an older `epoch` have ended. `version` counts changes of the row.

    `totp_since` is when the authenticator was confirmed; None for an account without one.
    """

    id: UUID
    name: str
    name_key: str
    password_hash: str = field(repr=False)
    role: Role
    epoch: int
    created_at: datetime
    disabled_at: datetime | None = None
    totp_since: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class UserFilters:
    """Filters of a listing. None does not filter."""

    role: Role | None = None
    disabled: bool | None = None


async def add_user(connection: Connection, user: User) -> bool:
    """Insert an account. False where the name is taken."""
    values = {name: getattr(user, name) for name in User.__slots__} | {"role": user.role.value}
    return await insert_unless_taken(connection, _users, values)


async def any_user(connection: Connection) -> bool:
    return bool(await connection.scalar(scanning(select(exists().select_from(_users)))))


async def user_by_name(connection: Connection, name: str) -> User | None:
    """The account of that name, or None. An invalid name, such as one with a NUL, never reaches the database."""
    if not is_name(name):
        return None
    return await _one(connection, select(_users).where(_users.c.name_key == name_key(name)))


async def eligible(connection: Connection, name: str, may: Callable[[Role], bool]) -> User | None:
    """The enabled account of that name, if `may(role)` is true for its role. None in every other case."""
    user = await user_by_name(connection, name)
    return user if user is not None and user.disabled_at is None and may(user.role) else None


async def user_by_id(connection: Connection, user_id: UUID) -> User | None:
    return await _one(connection, select(_users).where(_users.c.id == user_id))


async def list_users(connection: Connection, filters: UserFilters, after: After | None, limit: int) -> list[User]:
    """Accounts, newest first, starting after `after`."""
    statement = select(_users)
    if filters.role is not None:
        statement = statement.where(_users.c.role == filters.role.value)
    if filters.disabled is not None:
        disabled = _users.c.disabled_at.is_not(None) if filters.disabled else _users.c.disabled_at.is_(None)
        statement = statement.where(disabled)
    if after is not None:
        statement = statement.where(tuple_(_users.c.created_at, _users.c.id) < tuple_(*after))
    ordered = statement.order_by(_users.c.created_at.desc(), _users.c.id.desc()).limit(limit)
    return [_user(row) for row in (await connection.execute(scanning(ordered))).mappings()]


async def change_user(connection: Connection, user: User, **values: object) -> bool:
    """Change an account by compare-and-set on `user.version`. Of two concurrent changes, one succeeds.

    False where the row changed since `user` was read.
    """
    done = await connection.execute(
        update(_users)
        .where(_users.c.id == user.id, _users.c.version == user.version)
        .values(version=user.version + 1, **values)
    )
    return done.rowcount == 1


async def end_sessions(connection: Connection, user_id: UUID) -> None:
    """End every session of the user by raising the epoch, without compare-and-set: it cannot fail by a race."""
    newer = {"epoch": _users.c.epoch + 1, "version": _users.c.version + 1}
    await connection.execute(update(_users).where(_users.c.id == user_id).values(**newer))


async def hold_administrators(connection: Connection) -> set[UUID]:
    """The enabled administrators that have a password. Their rows are locked until the transaction ends."""
    able = (_users.c.disabled_at.is_(None), _users.c.password_hash != NO_PASSWORD)
    held = (
        select(_users.c.id)
        .where(_users.c.role == Role.ADMIN.value, *able)
        .order_by(_users.c.id)
        .with_for_update(key_share=True)
    )  # on SQLite the transaction is the only writer already
    return set((await connection.execute(scanning(held))).scalars())


async def hold_user(connection: Connection, user_id: UUID) -> None:
    """Lock the account's row until the transaction ends.

    Meanwhile no other transaction changes the account, ends its credentials, or adds one to it.
    """
    await connection.execute(select(_users.c.id).where(_users.c.id == user_id).with_for_update(key_share=True))


async def _one(connection: Connection, statement: Select[Any]) -> User | None:
    row = (await connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _user(row)


def _user(columns: Any) -> User:
    return User(**{**columns, "role": Role(columns["role"])})
