"""Members of a case: list, add, change role, remove, leave. A case never loses its last lead.

Comes in: a principal and an account. Leaves: `Member`s. A change locks the case exclusively: of two leads that remove
each other concurrently, one stays. Running uploads and downloads are checked again and see the change.
"""

from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, Forbidden, NotFound, Unprocessable
from portal.core.principal import Origin, Principal
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.authz.relation import CaseRole
from portal.features.cases import member_rows, relations
from portal.features.cases.catalog import found
from portal.features.cases.views import Member
from portal.features.identity import repository as accounts
from portal.features.identity.repository import User
from portal.features.identity.revocation import Revocations, Revoked


class MemberRefused(Unprocessable):
    """An account that does not exist, is disabled, or has the wrong role: one error, so that leads learn no more."""

    code, title = "member_refused", "There is no account of that name that could have that role in a case."


class AlreadyMember(Conflict):
    code, title = "already_member", "That account is a member already."


class LastLead(Conflict):
    code, title = "last_lead", "A case has a lead; make somebody else one first."


class Members:
    """The members of cases. Safe for concurrent use."""

    def __init__(self, database: Database, revocations: Revocations) -> None:
        self._database = database
        self._revocations = revocations

    async def list(self, principal: Principal, case_id: UUID) -> list[Member]:
        """The members of a case, in the order in which they were added. Raises NotFound, Forbidden."""
        async with self._database.read() as connection:
            await _judge(connection, principal, Action.MEMBER_LIST, case_id)
            return await member_rows.everyone(connection, case_id)

    async def add(self, principal: Principal, case_id: UUID, name: str, role: CaseRole, origin: Origin) -> Member:
        """Add the account called `name`. Raises NotFound, Forbidden, CaseReadOnly, MemberRefused, AlreadyMember."""
        async with self._database.write() as connection:
            await relations.lock_case(connection, case_id, exclusive=True)
            await _judge(connection, principal, Action.MEMBER_SET, case_id)
            user = await _account(connection, name, role)
            _somebody_else(principal, user.id)
            member = Member(user.id, user.name, role, principal.user_id, clock.now())
            if not await member_rows.add(connection, case_id, member):
                raise AlreadyMember
            await _put_on_record(connection, EventKind.MEMBER_ADDED, principal, case_id, origin, None, member)
        return member

    async def set_role(
        self, principal: Principal, case_id: UUID, user_id: UUID, role: CaseRole, origin: Origin
    ) -> Member:
        """Change a member's role. What the member may no longer give, such as links into the case, ends.

        Raises NotFound, Forbidden, CaseReadOnly, MemberRefused, LastLead.
        """
        async with self._database.write() as connection:
            await relations.lock_case(connection, case_id, exclusive=True)
            await _judge(connection, principal, Action.MEMBER_SET, case_id)
            _somebody_else(principal, user_id)
            before = await _member(connection, case_id, user_id)
            await _account(connection, before.name, role)
            if before.role is CaseRole.LEAD and role is not CaseRole.LEAD:
                await _keep_a_lead(connection, case_id, user_id)
            await member_rows.set_role(connection, case_id, user_id, role)
            after = await _member(connection, case_id, user_id)
            await _put_on_record(connection, EventKind.MEMBER_CHANGED, principal, case_id, origin, before, after)
            await self._revocations.run(connection, Revoked(user_id, principal.actor, origin))
        return after

    async def remove(self, principal: Principal, case_id: UUID, user_id: UUID, origin: Origin) -> None:
        """Remove a member, or leave the case. What the member may no longer give, such as links into the case, ends.

        Raises NotFound, Forbidden, LastLead.
        """
        action = Action.MEMBER_LEAVE if user_id == principal.user_id else Action.MEMBER_REMOVE
        async with self._database.write() as connection:
            await relations.lock_case(connection, case_id, exclusive=True)
            await _judge(connection, principal, action, case_id)
            before = await _member(connection, case_id, user_id)
            if before.role is CaseRole.LEAD:
                await _keep_a_lead(connection, case_id, user_id)
            await member_rows.remove(connection, case_id, user_id)
            await _put_on_record(connection, EventKind.MEMBER_REMOVED, principal, case_id, origin, before, None)
            await self._revocations.run(connection, Revoked(user_id, principal.actor, origin))


async def _judge(connection: Connection, principal: Principal, action: Action, case_id: UUID) -> None:
    policy.require_on(principal, action, (await found(connection, principal, case_id))[1])


def _somebody_else(principal: Principal, user_id: UUID) -> None:
    """Raises Forbidden for the caller's own account.

    An administrator who could join a case could read its files without break glass, which asks for a reason.
    """
    if user_id == principal.user_id:
        raise Forbidden("Nobody gives themselves a role in a case.")


async def _account(connection: Connection, name: str, role: CaseRole) -> User:
    user = await accounts.eligible(connection, name, lambda account: policy.may_be(account, role))
    if user is None:
        raise MemberRefused
    return user


async def _member(connection: Connection, case_id: UUID, user_id: UUID) -> Member:
    member = await member_rows.member(connection, case_id, user_id)
    if member is None:
        raise NotFound
    return member


async def _keep_a_lead(connection: Connection, case_id: UUID, user_id: UUID) -> None:
    if not await member_rows.other_leads(connection, case_id, user_id):
        raise LastLead


async def _put_on_record(
    connection: Connection,
    kind: EventKind,
    principal: Principal,
    case_id: UUID,
    origin: Origin,
    before: Member | None,
    after: Member | None,
) -> None:
    member = after or before
    details = {
        "user_id": None if member is None else str(member.user_id),
        "role_before": None if before is None else before.role.value,
        "role_after": None if after is None else after.role.value,
    }
    await record.write(connection, Event(kind, principal.actor, str(case_id), origin, dict(details)))
