"""Statements on `file_grants`. Comes in: the caller's connection. Leaves: frozen views, and a condition for others."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Exists, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from portal.features.files.models import GrantRow
from portal.features.identity.models import UserRow

_grants: Any = GrantRow.__table__  # type: ignore[attr-defined]  # SQLModel adds it
_users: Any = UserRow.__table__  # type: ignore[attr-defined]
_COLUMNS = (_grants.c.user_id, _users.c.name, _grants.c.granted_by, _grants.c.created_at, _grants.c.expires_at)


@dataclass(frozen=True, slots=True)
class Grant:
    """Somebody who may read one file until `expires_at`. `name` is the account's."""

    user_id: UUID
    name: str
    granted_by: UUID
    created_at: datetime
    expires_at: datetime


def granted(file_id: Any, caller: Any, moment: Any) -> Exists:
    """Whether `caller` was let read that file, as of `moment`."""
    return exists().where(
        _grants.c.file_id == file_id,
        _grants.c.user_id == caller,
        _grants.c.expires_at > moment,
    )


async def live(connection: AsyncConnection, file_id: UUID, moment: datetime) -> list[Grant]:
    """In the order they were given."""
    statement = select(*_COLUMNS).join(_users, _users.c.id == _grants.c.user_id)
    asked = statement.where(_grants.c.file_id == file_id, _grants.c.expires_at > moment)
    rows = await connection.execute(asked.order_by(_grants.c.created_at, _grants.c.user_id))
    return [Grant(**row._mapping) for row in rows]  # noqa: SLF001  # SQLAlchemy's public name for it


async def put(connection: AsyncConnection, file_id: UUID, grant: Grant) -> None:
    """Give it, or give it anew."""
    new = {"granted_by": grant.granted_by, "created_at": grant.created_at, "expires_at": grant.expires_at}
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(_grants).values(file_id=file_id, user_id=grant.user_id, **new)
    await connection.execute(statement.on_conflict_do_update(index_elements=["file_id", "user_id"], set_=new))


async def remove(connection: AsyncConnection, file_id: UUID, user_id: UUID | None = None) -> bool:
    """One grant, or all of a file. False where there was none."""
    statement = delete(_grants).where(_grants.c.file_id == file_id)
    if user_id is not None:
        statement = statement.where(_grants.c.user_id == user_id)
    return (await connection.execute(statement)).rowcount > 0


async def forget_over(connection: AsyncConnection, before: datetime) -> None:
    """Drop what is over: the record remembers it."""
    await connection.execute(delete(_grants).where(_grants.c.expires_at <= before))
