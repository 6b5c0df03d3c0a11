"""The case catalog: open, list, read, update and delete cases.

Comes in: a principal and a request. Leaves: `CaseView`s. A change locks the case, expects the version that the client
read, and is in the audit log with the values before and after.
"""

from dataclasses import asdict, dataclass
from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, NotFound, PreconditionFailed
from portal.core.ids import new_id
from portal.core.pagination import After, Page, page_of
from portal.core.principal import Origin, Principal
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.authz.relation import CaseRole, CaseStatus, Relation, Tlp
from portal.features.authz.visibility import sees_every_case
from portal.features.cases import break_glass_log, member_rows, relations, repository
from portal.features.cases.repository import CaseFilters
from portal.features.cases.views import CaseView, Glass, Member, Severity

ANY_VERSION = None  # If-Match: *
MOST_GLASS = 1_000  # break-glass accesses in one list of a case: the newest


class CaseNotEmpty(Conflict):
    code, title = "case_not_empty", "There are files in the case; delete or move them first."


class StatusRefused(Conflict):
    code, title = "case_status_refused", "A case does not go from its status to that one."


@dataclass(frozen=True, slots=True)
class NewCase:
    """The fields of a new case."""

    title: str
    description: str = ""
    severity: Severity = Severity.MEDIUM
    tlp: Tlp = Tlp.AMBER


@dataclass(frozen=True, slots=True)
class CaseChanges:
    """The fields of a case that can change. None leaves a field as it is."""

    title: str | None = None
    description: str | None = None
    severity: Severity | None = None
    tlp: Tlp | None = None
    status: CaseStatus | None = None


class CaseCatalog:
    """The cases of one portal. Safe for concurrent use."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, principal: Principal, new: NewCase, origin: Origin) -> CaseView:
        """Open a case. The principal becomes its lead. Raises Forbidden."""
        policy.require(principal, Action.CASE_CREATE)
        now = clock.now()
        lead = Member(principal.user_id, "", CaseRole.LEAD, principal.user_id, now)
        async with self._database.write() as connection:
            case = CaseView(
                id=new_id(),
                number=await repository.next_number(connection, now.year),
                title=new.title,
                description=new.description,
                status=CaseStatus.OPEN,
                severity=new.severity,
                tlp=new.tlp,
                version=1,
                created_by=principal.user_id,
                created_at=now,
            )
            await repository.add(connection, case)
            await member_rows.add(connection, case.id, lead)
            said: dict[str, Detail] = {name: str(value) for name, value in asdict(new).items()}
            details = {"number": case.number, **said}
            await _put_on_record(connection, EventKind.CASE_CREATED, principal, case, origin, details)
        return case

    async def broken_glass(self, principal: Principal, case_id: UUID) -> list[Glass]:
        """Break-glass accesses to files of the case: administrator, file, reason, times. The newest MOST_GLASS.

        Raises NotFound, Forbidden.
        """
        async with self._database.read() as connection:
            _, relation = await found(connection, principal, case_id)
            policy.require_on(principal, Action.GLASS_LIST, relation)
            return await break_glass_log.page(connection, None, MOST_GLASS, case_id)

    async def all_broken_glass(
        self, principal: Principal, case_id: UUID | None, after: After | None, limit: int
    ) -> Page[Glass]:
        """One page of break-glass accesses to all cases, deleted ones included, or to one. Raises Forbidden."""
        policy.require(principal, Action.GLASS_LIST)
        async with self._database.read() as connection:
            found = await break_glass_log.page(connection, after, limit + 1, case_id)
        return page_of(found, limit)

    async def list(
        self, principal: Principal, status: CaseStatus | None, after: After | None, limit: int
    ) -> Page[CaseView]:
        """One page of the cases that the principal is a member of, newest first. Auditors and administrators see all.

        Raises Forbidden.
        """
        policy.require(principal, Action.CASE_LIST)
        member = None if sees_every_case(principal) else principal.user_id
        filters = CaseFilters(member, status, only=principal.case_id)
        async with self._database.read() as connection:
            found = await repository.list_page(connection, filters, after, limit + 1)
        return page_of(found, limit)

    async def get(self, principal: Principal, case_id: UUID) -> CaseView:
        """The case of that id. Raises NotFound, Forbidden."""
        async with self._database.read() as connection:
            case, relation = await found(connection, principal, case_id)
        policy.require_on(principal, Action.CASE_READ, relation)
        return case

    async def update(
        self, principal: Principal, case_id: UUID, version: int | None, changes: CaseChanges, origin: Origin
    ) -> CaseView:
        """Update a case. `version` is the expected one; ANY_VERSION expects none.

        Raises NotFound, Forbidden, CaseReadOnly, StatusRefused, PreconditionFailed.
        """
        new = {name: value for name, value in asdict(changes).items() if value is not None}
        async with self._database.write() as connection:
            await relations.lock_case(connection, case_id, exclusive=True)
            case, relation = await found(connection, principal, case_id)
            for action in _asked(new):
                policy.require_on(principal, action, relation)
            _expect(case, version)
            _check_move(case.status, changes.status)
            await repository.change(connection, case_id, case.version, {name: str(new[name]) for name in new})
            details = _before_and_after(case, new)
            await _put_on_record(connection, EventKind.CASE_UPDATED, principal, case, origin, details)
            return (await found(connection, principal, case_id))[0]

    async def delete(self, principal: Principal, case_id: UUID, version: int | None, origin: Origin) -> None:
        """Delete an empty case. `version` is the expected one; ANY_VERSION expects none.

        Raises NotFound, Forbidden, CaseReadOnly, PreconditionFailed, and CaseNotEmpty while a file is in the case.
        """
        async with self._database.write() as connection:
            await relations.lock_case(connection, case_id, exclusive=True)
            case, relation = await found(connection, principal, case_id)
            policy.require_on(principal, Action.CASE_DELETE, relation)
            _expect(case, version)
            if not await repository.remove(connection, case_id):
                raise CaseNotEmpty
            details: dict[str, Detail] = {"number": case.number, "title": case.title}
            await _put_on_record(connection, EventKind.CASE_DELETED, principal, case, origin, details)


async def found(connection: Connection, principal: Principal, case_id: UUID) -> tuple[CaseView, Relation]:
    """A case and the principal's relation to it. Raises NotFound where no case has that id.

    It checks no permission: the caller must pass the relation to the policy.
    """
    case = await repository.find(connection, case_id)
    relation = await relations.find(connection, case_id, principal.user_id)
    if case is None or relation is None:
        raise NotFound
    return case, relation


async def _put_on_record(
    connection: Connection,
    kind: EventKind,
    principal: Principal,
    case: CaseView,
    origin: Origin,
    details: dict[str, Detail],
) -> None:
    await record.write(connection, Event(kind, principal.actor, str(case.id), origin, details))


def _asked(new: dict[str, object]) -> list[Action]:
    """The actions that a change of these fields needs. A change of no field needs CASE_UPDATE."""
    asked = [Action.CASE_STATUS] if "status" in new else []
    return asked if set(new) == {"status"} else [*asked, Action.CASE_UPDATE]


def _expect(case: CaseView, version: int | None) -> None:
    if version is not ANY_VERSION and version != case.version:
        raise PreconditionFailed


def _check_move(before: CaseStatus, after: CaseStatus | None) -> None:
    if after is not None and after != before and after not in policy.STATUS_TRANSITIONS[before]:
        raise StatusRefused(f"From {before} a case goes to: {', '.join(sorted(policy.STATUS_TRANSITIONS[before]))}.")


def _before_and_after(case: CaseView, new: dict[str, object]) -> dict[str, Detail]:
    details: dict[str, Detail] = {}
    for name, value in new.items():
        details |= {f"{name}_before": str(getattr(case, name)), f"{name}_after": str(value)}
    return details
