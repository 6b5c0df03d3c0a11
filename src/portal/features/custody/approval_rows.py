"""Statements on `approvals`, in the caller's transaction. Every decision is a compare-and-set on `pending`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select, tuple_, update

from portal.core.pagination import After
from portal.db.connection import Connection
from portal.db.statements import one_of, scanning
from portal.db.tables import table
from portal.db.views import view_of
from portal.features.custody.models import ApprovalRow
from portal.features.custody.views import Act, Approval, ApprovalStatus

_approvals = table(ApprovalRow)
_columns = [_approvals.c[name] for name in Approval.__slots__]
_PENDING = one_of(_approvals.c.status, [ApprovalStatus.PENDING])


async def add(connection: Connection, approval: Approval) -> None:
    await connection.execute(insert(_approvals).values({name: getattr(approval, name) for name in Approval.__slots__}))


async def find(connection: Connection, approval_id: UUID) -> Approval | None:
    row = (await connection.execute(select(*_columns).where(_approvals.c.id == approval_id))).mappings().one_or_none()
    return None if row is None else view_of(Approval, row)


async def newest(connection: Connection, act: Act, subject: str) -> Approval | None:
    """The request that was made last about that act and subject."""
    about = (_approvals.c.act == act.value, _approvals.c.subject == subject)
    asked = select(*_columns).where(*about).order_by(_approvals.c.requested_at.desc()).limit(1)
    row = (await connection.execute(asked)).mappings().one_or_none()
    return None if row is None else view_of(Approval, row)


async def page(connection: Connection, after: After | None, limit: int) -> list[Approval]:
    """Requests, newest first, starting after `after`."""
    wanted = select(*_columns)
    if after is not None:
        wanted = wanted.where(tuple_(_approvals.c.requested_at, _approvals.c.id) < tuple_(*after))
    ordered = wanted.order_by(_approvals.c.requested_at.desc(), _approvals.c.id.desc()).limit(limit)
    return [view_of(Approval, row) for row in (await connection.execute(scanning(ordered))).mappings()]


async def decide(
    connection: Connection, approval_id: UUID, status: ApprovalStatus, by: str | None, at: datetime
) -> bool:
    """End a pending request. False if it is not pending any more: of two decisions, one counts."""
    pending = update(_approvals).where(_approvals.c.id == approval_id, _PENDING)
    decided = pending.values(status=status.value, decided_by=by, decided_at=at)
    return (await connection.execute(decided)).rowcount == 1
