"""A second administrator's approval: asked for, given or refused, in the caller's transaction.

Comes in: what is to be done, in which state it is now, and who asks or decides. Leaves: an `Approval`, and an audit row
for each step. Next: `service` does what was approved, in the transaction that records the approval: so it is done once.

An approval is given by the session of another administrator, never by who asked: not in another session either. The
command line may ask and refuse, never approve: whoever has it is root of the portal, and two of them may be one person.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, Forbidden, NotFound
from portal.core.ids import new_id
from portal.core.principal import Origin, Principal, Role
from portal.db.connection import Connection
from portal.db.statements import hold_alone
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.custody import approval_rows
from portal.features.custody.views import Act, Approval, ApprovalStatus
from portal.features.identity import repository as accounts
from portal.features.identity.accounts import Actor

LASTS: Final = timedelta(days=3)
"""For so long a request can be approved, and a given approval of `retire` is told."""


class ApprovalOver(Conflict):
    code, title = "approval_over", "The request was decided, has expired, or who asked may not ask any more."


class ApprovalOutdated(Conflict):
    code, title = "approval_outdated", "What was to be approved has changed since: ask for approval anew."


class OwnApproval(Forbidden):
    code, title = "own_approval", "Another administrator approves that, not the one who asked."


@dataclass(frozen=True, slots=True)
class Asking:
    """What approval is asked for: the act, its subject, and the state of the subject."""

    act: Act
    subject: str
    state: str


async def ask(connection: Connection, by: Actor, actor: str, what: Asking, origin: Origin) -> Approval:
    """The pending request for exactly that, or a new one, which replaces one about another state."""
    await hold_alone(connection, "approvals")
    now, found = clock.now(), await approval_rows.newest(connection, what.act, what.subject)
    if found is not None and found.status is ApprovalStatus.PENDING:
        if found.state == what.state and found.expires_at > now:
            return found
        await approval_rows.decide(connection, found.id, ApprovalStatus.EXPIRED, None, now)
    requester_id = by.user_id if isinstance(by, Principal) else None
    asked = (what.act, what.subject, what.state, actor, requester_id)
    approval = Approval(new_id(), *asked, now, now + LASTS, ApprovalStatus.PENDING)
    await approval_rows.add(connection, approval)
    await _put_on_record(connection, EventKind.APPROVAL_REQUESTED, actor, approval, origin)
    return approval


async def give(connection: Connection, by: Principal, approval_id: UUID, origin: Origin) -> Approval:
    """Approve a request. The caller has judged `by` in this transaction, and does what was approved in it.

    Raises NotFound, OwnApproval, ApprovalOver.
    """
    approval = await pending(connection, approval_id)
    if approval.requester_id == by.user_id:
        raise OwnApproval
    if approval.requester_id is not None:
        requester = await accounts.user_by_id(connection, approval.requester_id)
        if requester is None or requester.disabled_at is not None or requester.role is not Role.ADMIN:
            raise ApprovalOver
    return await _decided(connection, approval, ApprovalStatus.GIVEN, by.actor, origin)


async def refuse(connection: Connection, actor: str, approval_id: UUID, origin: Origin) -> Approval:
    """Refuse a request, also one's own. Raises NotFound, ApprovalOver."""
    approval = await pending(connection, approval_id)
    return await _decided(connection, approval, ApprovalStatus.REFUSED, actor, origin)


async def pending(connection: Connection, approval_id: UUID) -> Approval:
    """A request that can be decided. Raises NotFound, ApprovalOver."""
    approval = await approval_rows.find(connection, approval_id)
    if approval is None:
        raise NotFound
    if shown(approval, clock.now()).status is not ApprovalStatus.PENDING:
        raise ApprovalOver
    return approval


def shown(approval: Approval, now: datetime) -> Approval:
    """The request as it counts now: a pending one whose time is over has expired."""
    over = approval.status is ApprovalStatus.PENDING and approval.expires_at <= now
    return replace(approval, status=ApprovalStatus.EXPIRED) if over else approval


async def _decided(
    connection: Connection, approval: Approval, status: ApprovalStatus, actor: str, origin: Origin
) -> Approval:
    now = clock.now()
    if not await approval_rows.decide(connection, approval.id, status, actor, now):
        raise ApprovalOver  # another administrator was faster
    decided = replace(approval, status=status, decided_by=actor, decided_at=now)
    given = status is ApprovalStatus.GIVEN
    kind = EventKind.APPROVAL_GIVEN if given else EventKind.APPROVAL_REFUSED
    await _put_on_record(connection, kind, actor, decided, origin)
    return decided


async def _put_on_record(
    connection: Connection, kind: EventKind, actor: str, approval: Approval, origin: Origin
) -> None:
    details: dict[str, Detail] = {"act": approval.act.value, "subject": approval.subject, "state": approval.state}
    details |= {"requested_by": approval.requested_by}
    await record.write(connection, Event(kind, actor, str(approval.id), origin, details))
