"""Custody for administrators and the command line: have a case shredded or a master key retired, where that is asked
for with a second administrator's approval; see how far a shredding is; read a receipt.

Comes in: a principal, or the actor of the command line. Leaves: jobs, requests for approval, receipts. Next:
`approvals`, `shredding`.
"""

from dataclasses import dataclass
from uuid import UUID

from portal.core import clock
from portal.core.errors import NotFound, Unprocessable
from portal.core.pagination import After, Page, page_of
from portal.core.principal import Origin, Principal
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.admin.acting import actor_of, require
from portal.features.admin.keys import Keys
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.cases import relations
from portal.features.cases.views import CaseView
from portal.features.custody import approval_rows, approvals, repository
from portal.features.custody.approvals import ApprovalOutdated, Asking
from portal.features.custody.shredding import Shredder, job_of, shreddable
from portal.features.custody.views import Act, Approval, ApprovalStatus, Receipt, ShredderNames, Shredding
from portal.features.identity.accounts import Actor
from portal.features.identity.authenticators import Authenticators
from portal.features.jobs.views import Job
from portal.features.signing.keys import SigningKeys
from portal.resources import Resources


class NumberMismatch(Unprocessable):
    code, title = "case_number_mismatch", "That is not the case's number; nothing was done."


@dataclass(frozen=True, slots=True)
class Custody:
    """The service for administrators and the command line. `approved` are the acts that need a second administrator."""

    database: Database
    shredder: Shredder
    keys: Keys
    authenticators: Authenticators
    approved: frozenset[Act]

    async def shred(self, by: Actor, case_id: UUID, number: str, origin: Origin) -> Job | Approval:
        """Destroy the keys of a case now, and all else of its content by the job; or ask for approval of that.

        `number` is the case's, so that nobody shreds another by mistake. While it runs, a second call returns the same
        job. Raises Forbidden, NotSignedIn, NotFound, NumberMismatch, CaseStillOpen, CaseShredded.
        """
        require(by, Action.CASE_SHRED)
        async with self.database.write() as connection:
            actor = await actor_of(connection, self.authenticators, by, Action.CASE_SHRED)
            await relations.lock_case(connection, case_id, exclusive=True)
            begun = await repository.find(connection, case_id)
            if begun is not None and begun.receipt_id is None:
                return await job_of(connection, begun)
            case = await shreddable(connection, case_id)
            if case.number != number:
                raise NumberMismatch
            if Act.SHRED in self.approved:
                return await approvals.ask(connection, by, actor, _shredding(case), origin)
            return await self.shredder.begin(connection, case_id, ShredderNames(actor, clock.now()), origin)

    async def retire(self, by: Actor, key_id: str, origin: Origin) -> Approval | None:
        """Say on record that nothing needs a master key any more, or ask for approval of that.

        Returns the request, pending or given; None where no approval is needed. Raises KeyNeeded, NotFound, Forbidden.
        """
        if Act.RETIRE not in self.approved:
            await self.keys.retire(by, key_id, origin)
            return None
        await self.keys.require_unneeded(by, key_id)
        async with self.database.write() as connection:
            actor = await actor_of(connection, self.authenticators, by, Action.KEY_MANAGE)
            found = await approval_rows.newest(connection, Act.RETIRE, key_id)
            if found is not None and _is_given(found):
                return found
            return await approvals.ask(connection, by, actor, Asking(Act.RETIRE, key_id, ""), origin)

    async def approvals(self, by: Actor, after: After | None, limit: int) -> Page[Approval]:
        """One page of requests for approval, newest first. Raises Forbidden."""
        require(by, Action.CASE_SHRED)
        async with self.database.read() as connection:
            found = await approval_rows.page(connection, after, limit + 1)
        now = clock.now()
        return page_of([approvals.shown(approval, now) for approval in found], limit)

    async def give(self, by: Principal, approval_id: UUID, origin: Origin) -> Approval:
        """Approve a request, and do what was approved in the same transaction: a case is shredded from then on.

        Raises Forbidden, NotSignedIn, NotFound, OwnApproval, ApprovalOver, ApprovalOutdated; KeyNeeded, CaseStillOpen,
        CaseShredded where it cannot be done now: then nothing is decided.
        """
        policy.require(by, Action.CASE_SHRED)
        async with self.database.read() as connection:
            asked = await approvals.pending(connection, approval_id)
        if asked.act is Act.RETIRE:
            await self.keys.require_unneeded(by, asked.subject)
        async with self.database.write() as connection:
            by = await self.authenticators.held(connection, by)
            policy.require(by, Action.CASE_SHRED)
            approval = await approvals.give(connection, by, approval_id, origin)
            if approval.act is Act.SHRED:
                await self._shred(connection, approval, origin)
            else:
                await self.keys.put_retired(connection, by.actor, approval.subject, origin)
        return approval

    async def refuse(self, by: Actor, approval_id: UUID, origin: Origin) -> Approval:
        """Refuse a request, or take one's own back. Raises Forbidden, NotSignedIn, NotFound, ApprovalOver."""
        require(by, Action.CASE_SHRED)
        async with self.database.write() as connection:
            actor = await actor_of(connection, self.authenticators, by, Action.CASE_SHRED)
            return await approvals.refuse(connection, actor, approval_id, origin)

    async def shredding(self, by: Actor, case_id: UUID) -> Shredding:
        """How far the shredding of a case is. Raises Forbidden, NotFound."""
        require(by, Action.CASE_SHRED)
        async with self.database.read() as connection:
            found = await repository.find(connection, case_id)
        if found is None:
            raise NotFound
        return found

    async def receipt(self, by: Actor, receipt_id: UUID) -> Receipt:
        """Raises Forbidden, NotFound."""
        require(by, Action.CASE_SHRED)
        async with self.database.read() as connection:
            found = await repository.find_receipt(connection, receipt_id)
        if found is None:
            raise NotFound
        return found

    async def _shred(self, connection: Connection, approval: Approval, origin: Origin) -> None:
        case_id = UUID(approval.subject)
        await relations.lock_case(connection, case_id, exclusive=True)
        if _shredding(await shreddable(connection, case_id)).state != approval.state:
            raise ApprovalOutdated
        names = ShredderNames(approval.requested_by, approval.requested_at, approval.decided_by, approval.decided_at)
        await self.shredder.begin(connection, case_id, names, origin)


def build(
    resources: Resources, authenticators: Authenticators, signing: SigningKeys, keys: Keys, approved: frozenset[Act]
) -> Custody:
    """Build the service on one set of resources."""
    shredder = Shredder(resources.database, resources.strongbox, resources.keyring, signing)
    return Custody(resources.database, shredder, keys, authenticators, approved)


def _shredding(case: CaseView) -> Asking:
    """A closed case changes only with its version: its files, too, since it would have to be reopened for them."""
    return Asking(Act.SHRED, str(case.id), f"{case.number} version {case.version}")


def _is_given(approval: Approval) -> bool:
    """Whether it was approved so lately that it is told once more."""
    at = approval.decided_at
    return approval.status is ApprovalStatus.GIVEN and at is not None and at + approvals.LASTS > clock.now()
