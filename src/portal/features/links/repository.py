"""Statements on `links` and `link_files`, in the caller's transaction. Rows are returned as frozen views.

A link is *live* while it is not revoked, has not expired, and its creator's account is enabled. Uses and bytes are
counted by compare-and-set: of two requests that race for the last use, one gets it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, or_, select, tuple_, update

from portal.core.errors import IntegrityError
from portal.core.pagination import After
from portal.core.principal import Role
from portal.db.connection import Connection
from portal.db.statements import scanning
from portal.db.tables import table
from portal.features.files.models import FileKind
from portal.features.identity.models import UserRow
from portal.features.links.models import LinkFileRow, LinkRow, LinkUseRow
from portal.features.links.views import Link, LinkKind, LinkStatus

_links = table(LinkRow)
_offered = table(LinkFileRow)
_uses = table(LinkUseRow)
_users = table(UserRow)
COLUMNS = (
    *(_links.c[name] for name in Link.__slots__ if name != "has_password"),
    _links.c.password_hash.is_not(None).label("has_password"),
    _users.c.role.label("maker_role"),
    _users.c.disabled_at.label("maker_disabled_at"),
)
LIVE = (_links.c.revoked_at.is_(None), _links.c.expires_at > bindparam("moment"), _users.c.disabled_at.is_(None))
_SHOWN = (
    or_(_links.c.revoked_at.is_(None), _links.c.ended_by != LinkStatus.REVOKED.value),
    _links.c.expires_at > bindparam("moment"),
)
WITH_MAKER = _links.join(_users, _users.c.id == _links.c.made_by)
_FIND = select(*COLUMNS).select_from(WITH_MAKER)
_LIVE_BY_ID = _FIND.where(_links.c.id == bindparam("link"), *LIVE)
_TO_REDEEM = (
    _FIND.add_columns(_links.c.password_hash, _links.c.failures, _links.c.failed_at)
    .where(_links.c.digest == bindparam("digest"), *LIVE)
    .with_for_update(of=_links)
)
_USE = (
    update(_links)
    .where(_links.c.id == bindparam("link"), or_(_links.c.most_in_all.is_(None), _links.c.used < _links.c.most_in_all))
    .where(_links.c.revoked_at.is_(None), _links.c.expires_at > bindparam("moment"))
    .where(or_(_links.c.most_bytes.is_(None), _links.c.used_bytes + bindparam("size") <= _links.c.most_bytes))
    .values(used=_links.c.used + 1, used_bytes=_links.c.used_bytes + bindparam("size"))
)


@dataclass(frozen=True, slots=True)
class LiveLink:
    """A link and its creator's role as of now."""

    link: Link
    role: Role


@dataclass(frozen=True, slots=True)
class Redeemable:
    """A live link with its password hash and its count of wrong passwords.

    The row is locked: no other request redeems the link until the transaction ends.
    """

    live: LiveLink
    password_hash: str | None = field(repr=False)
    failures: int
    failed_at: datetime | None


async def add(connection: Connection, link: Link, digest: bytes, password_hash: str | None) -> None:
    values = {name: getattr(link, name) for name in Link.__slots__ if name != "has_password"}
    values |= {"digest": digest, "password_hash": password_hash, "kinds": " ".join(sorted(link.kinds)), "failures": 0}
    await connection.execute(insert(_links).values(values | {"kind": link.kind.value}))


async def offer(connection: Connection, link_id: UUID, file_ids: frozenset[UUID]) -> None:
    await connection.execute(insert(_offered), [{"link_id": link_id, "file_id": file_id} for file_id in file_ids])


async def offered(connection: Connection, link_id: UUID) -> list[UUID]:
    """The files chosen for a link, oldest first."""
    asked = select(_offered.c.file_id).where(_offered.c.link_id == link_id).order_by(_offered.c.file_id)
    return list((await connection.execute(asked)).scalars())


async def find(connection: Connection, link_id: UUID) -> Link | None:
    row = (await connection.execute(_FIND.where(_links.c.id == link_id))).one_or_none()
    return None if row is None else live(row).link


async def live_by_id(connection: Connection, link_id: UUID, moment: datetime) -> LiveLink | None:
    row = (await connection.execute(_LIVE_BY_ID, {"link": link_id, "moment": moment})).one_or_none()
    return None if row is None else live(row)


async def count_live(connection: Connection, user_id: UUID, moment: datetime) -> int:
    """The number of a user's links that are neither revoked, expired nor used up."""
    left = or_(_links.c.most_in_all.is_(None), _links.c.used < _links.c.most_in_all)
    good = (_links.c.revoked_at.is_(None), _links.c.expires_at > moment, left)
    asked = select(func.count()).select_from(_links).where(_links.c.made_by == user_id, *good)
    return int((await connection.execute(asked)).scalar_one())


async def to_redeem(connection: Connection, digest: bytes, moment: datetime) -> Redeemable | None:
    row = (await connection.execute(_TO_REDEEM, {"digest": digest, "moment": moment})).one_or_none()
    return None if row is None else Redeemable(live(row), row.password_hash, row.failures, row.failed_at)


async def count_failures(connection: Connection, link_id: UUID, failures: int, moment: datetime | None) -> None:
    """Store the number of wrong passwords, and `moment`, the time of the last one."""
    values = {"failures": failures, "failed_at": moment}
    await connection.execute(update(_links).where(_links.c.id == link_id).values(values))


async def forgive_one(connection: Connection, link_id: UUID) -> None:
    """Undo the charge of an attempt that was not checked. The time of the last failure stays as it is."""
    statement = update(_links).where(_links.c.id == link_id, _links.c.failures > 0)
    await connection.execute(statement.values(failures=_links.c.failures - 1))


async def listed(
    connection: Connection,
    moment: datetime,
    after: After | None = None,
    limit: int | None = None,
    **only: UUID,
) -> list[Link]:
    """Unexpired links that no user revoked; links that ended for another reason are included.

    Newest first, starting after `after`. `only` filters by columns: `made_by=user_id`, for example.
    """
    statement = _FIND.where(*_SHOWN, *(_links.c[name] == value for name, value in only.items()))
    if after is not None:
        statement = statement.where(tuple_(_links.c.created_at, _links.c.id) < tuple_(*after))
    ordered = statement.order_by(_links.c.created_at.desc(), _links.c.id.desc()).limit(limit)
    return [live(row).link for row in await connection.execute(scanning(ordered), {"moment": moment})]


async def use(connection: Connection, link_id: UUID, moment: datetime, size: int = 0) -> bool:
    """Count one use and `size` bytes.

    False where fewer are left, or the link is revoked or expired at `moment`. The row is locked until the transaction
    ends.
    """
    done = await connection.execute(_USE, {"link": link_id, "moment": moment, "size": size})
    return done.rowcount == 1


async def unended_of(connection: Connection, user_id: UUID, moment: datetime) -> list[tuple[Link, Role, bool]]:
    """A user's links that are neither revoked nor expired, with the account's role and whether it is disabled."""
    asked = _FIND.where(_links.c.made_by == user_id, _links.c.revoked_at.is_(None), _links.c.expires_at > moment)
    ordered = asked.order_by(_links.c.id)  # one order: no deadlock of two revocations
    found = list(await connection.execute(scanning(ordered)))
    return [(good.link, good.role, row.maker_disabled_at is not None) for row in found for good in [live(row)]]


async def settle_bytes(connection: Connection, link_id: UUID, reserved: int, came: int) -> bool:
    """Replace the `reserved` bytes of an upload by the `came` bytes that arrived. False where the link has no room."""
    after = _links.c.used_bytes - reserved + came
    fits = or_(_links.c.most_bytes.is_(None), after <= _links.c.most_bytes)
    done = await connection.execute(update(_links).where(_links.c.id == link_id, fits).values(used_bytes=after))
    return done.rowcount == 1


async def give_back(connection: Connection, link_id: UUID, size: int = 0, *, failed: bool = False) -> None:
    """Give back one use and its `size` reserved bytes. `failed` counts a failed upload."""
    values = {"used": _links.c.used - 1, "used_bytes": _links.c.used_bytes - size}
    if failed:
        values["failed_uploads"] = _links.c.failed_uploads + 1
    await connection.execute(update(_links).where(_links.c.id == link_id).values(values))


async def revoke(connection: Connection, link_id: UUID, moment: datetime, why: LinkStatus) -> bool:
    """Revoke a link with a reason. False where it was revoked before.

    A revocation by a user (LinkStatus.REVOKED) also replaces another reason, and keeps the earlier time.
    """
    open_to: list[ColumnElement[bool]] = [_links.c.revoked_at.is_(None)]
    if why is LinkStatus.REVOKED:
        open_to.append(_links.c.ended_by != LinkStatus.REVOKED.value)
    statement = update(_links).where(_links.c.id == link_id, or_(*open_to))
    since = func.coalesce(_links.c.revoked_at, moment)
    return (await connection.execute(statement.values(revoked_at=since, ended_by=why.value))).rowcount == 1


async def forget_over(connection: Connection, before: datetime) -> None:
    """Delete links that expired or were revoked before `before`, with their uses. The audit log still has them.

    Their link sessions must be deleted already: `session_rows.forget_over` comes first, and sessions live for minutes.
    """
    over = select(_links.c.id).where(or_(_links.c.expires_at < before, _links.c.revoked_at < before))
    await connection.execute(scanning(delete(_offered).where(_offered.c.link_id.in_(over))))
    await connection.execute(scanning(delete(_uses).where(_uses.c.link_id.in_(over))))
    await connection.execute(scanning(delete(_links).where(_links.c.id.in_(over))))


def live(row: Any) -> LiveLink:
    """The link of a row with `COLUMNS`. Raises IntegrityError for an edited row."""
    said = row._mapping  # noqa: SLF001  # SQLAlchemy's public name for it
    values = {name: said[name] for name in Link.__slots__}
    try:
        values |= {
            "ended_by": _ended_by(said),
            "kind": LinkKind(said["kind"]),
            "kinds": frozenset(map(FileKind, said["kinds"].split())),
        }
        return LiveLink(Link(**values), Role(said["maker_role"]))
    except ValueError:
        raise IntegrityError from None


def _ended_by(said: Any) -> LinkStatus | None:
    if said["ended_by"] is not None:
        return LinkStatus(said["ended_by"])
    if said["revoked_at"] is not None:
        return LinkStatus.REVOKED  # revoked before reasons were stored
    return None if said["maker_disabled_at"] is None else LinkStatus.CREATOR_DISABLED
