"""Statements on `api_tokens`, in the caller's transaction. Rows are returned as frozen views.

A token is *unended* while it is not revoked and its owner is enabled, and *live* while it also has not expired.
"""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, bindparam, func, insert, or_, select, tuple_, update

from portal.core.pagination import After
from portal.core.principal import Permission, Role
from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.identity.models import UserRow
from portal.features.tokens.models import ApiTokenRow

_tokens = table(ApiTokenRow)
_users = table(UserRow)
_UNENDED = (
    select(_tokens, _users.c.role.label("owner_role"), _users.c.totp_since.is_not(None).label("owner_has_totp"))
    .join(_users, _users.c.id == _tokens.c.user_id)
    .where(_tokens.c.revoked_at.is_(None), _users.c.disabled_at.is_(None))
)
_UNENDED_BY_ID = _UNENDED.where(_tokens.c.id == bindparam("token"))
_LIVE_BY_DIGEST = _UNENDED.where(  # runs with every request of a service, so it is built once
    _tokens.c.digest == bindparam("digest"), _tokens.c.expires_at > bindparam("moment")
)

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ApiToken:
    """An API token's metadata, without its secret. Without `networks`, all networks are allowed."""

    id: UUID
    user_id: UUID
    name: str
    permissions: frozenset[Permission]
    networks: tuple[Network, ...]
    case_id: UUID | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LiveToken:
    """A live or unended token, and its owner's role and second factor as of now."""

    token: ApiToken
    role: Role
    owner_has_totp: bool


async def add(connection: Connection, token: ApiToken, digest: bytes) -> None:
    values = {
        "id": token.id,
        "user_id": token.user_id,
        "name": token.name,
        "digest": digest,
        "permissions": " ".join(sorted(token.permissions)),
        "networks": " ".join(map(str, token.networks)),
        "case_id": token.case_id,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
    }
    await connection.execute(insert(_tokens).values(values))


async def live_by_digest(connection: Connection, digest: bytes, moment: datetime) -> LiveToken | None:
    return _live((await connection.execute(_LIVE_BY_DIGEST, {"digest": digest, "moment": moment})).one_or_none())


async def unended_by_id(connection: Connection, token_id: UUID) -> LiveToken | None:
    """The unended token of that id, expired or not; None otherwise."""
    return _live((await connection.execute(_UNENDED_BY_ID, {"token": token_id})).one_or_none())


async def of_user(connection: Connection, user_id: UUID, after: After | None, limit: int) -> list[ApiToken]:
    """A user's tokens, newest first, starting after `after`. Expired and revoked ones are included."""
    statement = select(_tokens).where(_tokens.c.user_id == user_id)
    if after is not None:
        statement = statement.where(tuple_(_tokens.c.created_at, _tokens.c.id) < tuple_(*after))
    ordered = statement.order_by(_tokens.c.created_at.desc(), _tokens.c.id.desc()).limit(limit)
    return [_token(row) for row in (await connection.execute(ordered)).mappings()]


async def find(connection: Connection, token_id: UUID) -> ApiToken | None:
    row = (await connection.execute(select(_tokens).where(_tokens.c.id == token_id))).mappings().one_or_none()
    return None if row is None else _token(row)


async def count_live(connection: Connection, user_id: UUID, moment: datetime) -> int:
    live = (_tokens.c.user_id == user_id) & _tokens.c.revoked_at.is_(None) & (_tokens.c.expires_at > moment)
    return int((await connection.execute(select(func.count()).select_from(_tokens).where(live))).scalar_one())


async def revoke(connection: Connection, token_id: UUID, moment: datetime) -> bool:
    """Revoke a token. False where it was revoked before."""
    statement = update(_tokens).where(_tokens.c.id == token_id, _tokens.c.revoked_at.is_(None))
    return (await connection.execute(statement.values(revoked_at=moment))).rowcount == 1


async def revoke_all(connection: Connection, user_id: UUID, moment: datetime) -> int:
    """Revoke every token of a user, and return the number of live ones.

    Expired tokens are revoked too: a transfer that began with one may still be running.
    """
    live = await count_live(connection, user_id, moment)
    unended = (_tokens.c.user_id == user_id, _tokens.c.revoked_at.is_(None))
    await connection.execute(update(_tokens).where(*unended).values(revoked_at=moment))
    return live


async def note_use(connection: Connection, token_id: UUID, moment: datetime, unless_after: datetime) -> None:
    """Store a use of the token, where the stored one is older than `unless_after`."""
    stale = or_(_tokens.c.last_used_at.is_(None), _tokens.c.last_used_at < unless_after)
    await connection.execute(update(_tokens).where(_tokens.c.id == token_id, stale).values(last_used_at=moment))


async def forget_over(connection: Connection, before: datetime) -> None:
    """Delete tokens that expired or were revoked before `before`. The audit log still has them."""
    over = or_(_tokens.c.expires_at < before, _tokens.c.revoked_at < before)
    await connection.execute(scanning(_tokens.delete().where(over)))


async def forget_most_over(connection: Connection, user_id: UUID, moment: datetime, *, kept: int) -> None:
    """Delete a user's expired and revoked tokens, except for the newest `kept`. The audit log still has them."""
    over = (_tokens.c.user_id == user_id) & (_tokens.c.revoked_at.is_not(None) | (_tokens.c.expires_at <= moment))
    rest = select(_tokens.c.id).where(over).order_by(_tokens.c.created_at.desc(), _tokens.c.id.desc())
    oldest = (await connection.execute(rest.offset(kept))).scalars().all()
    if oldest:
        await connection.execute(_tokens.delete().where(_tokens.c.id.in_(oldest)))


def _live(row: Any) -> LiveToken | None:
    if row is None:
        return None
    return LiveToken(_token(row._mapping), Role(row.owner_role), bool(row.owner_has_totp))  # noqa: SLF001  # its public name


def _token(columns: RowMapping) -> ApiToken:
    values = {name: columns[name] for name in ApiToken.__slots__}
    values["permissions"] = frozenset(map(Permission, columns["permissions"].split()))
    values["networks"] = tuple(map(ip_network, columns["networks"].split()))
    return ApiToken(**values)
