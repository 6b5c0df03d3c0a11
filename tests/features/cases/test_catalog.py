"""Cases are opened, listed, read, changed and deleted by those who may, and each change is on record."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.core import clock
from portal.core.errors import Forbidden, IntegrityError, NotFound, PortalError, PreconditionFailed
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.features.authz.policy import STATUS_TRANSITIONS, CaseReadOnly, CaseShredded
from portal.features.authz.relation import CaseRole, CaseStatus, Tlp
from portal.features.cases.catalog import CaseChanges, StatusRefused
from portal.features.cases.views import CaseView, Severity

from .conftest import ORIGIN, Office


async def move(office: Office, who: Principal, case: CaseView, *statuses: CaseStatus) -> CaseView:
    for status in statuses:
        case = await office.register.update(who, case.id, None, CaseChanges(status=status), ORIGIN)
    return case


async def numbers(office: Office, who: Principal, status: CaseStatus | None = None) -> list[str]:
    return [case.number for case in (await office.register.list(who, status, None, 200)).items]


async def test_a_case_is_read_as_it_was_opened(office: Office, lead: Principal) -> None:
    case = await office.open(lead, title="é🔑", description="a\nb", severity=Severity.CRITICAL, tlp=Tlp.AMBER_STRICT)
    assert await office.register.get(lead, case.id) == case
    assert (case.title, case.description, case.severity, case.tlp) == ("é🔑", "a\nb", "critical", "AMBER+STRICT")
    assert (case.status, case.version, case.created_by) == (CaseStatus.OPEN, 1, lead.user_id)
    (member,) = await office.members.list(lead, case.id)
    assert (member.user_id, member.role, member.added_by) == (lead.user_id, CaseRole.LEAD, lead.user_id)


async def test_an_opening_is_on_record(office: Office, lead: Principal) -> None:
    case = await office.open(lead, title="t", description="d")
    (event,) = await office.record("case.created")
    assert (event["actor"], event["subject"]) == (lead.actor, str(case.id))
    assert (event["request_id"], event["address"]) == ("a request", "192.0.2.1")
    said = {"title": "t", "description": "d", "severity": "medium", "tlp": "AMBER"}
    assert event["details"] == {"number": case.number, **said}


@pytest.mark.parametrize("role", [Role.UPLOADER, Role.AUDITOR])
async def test_who_may_not_open_cases_opens_none(office: Office, role: Role) -> None:
    with pytest.raises(Forbidden):
        await office.open(await office.person(role))
    assert await office.record() == []


async def test_numbers_count_the_cases_of_a_year(office: Office, lead: Principal, monkeypatch: Any) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    assert [(await office.open(lead)).number for _ in range(3)] == ["2026-0001", "2026-0002", "2026-0003"]
    monkeypatch.setattr(clock, "now", lambda: datetime(2027, 1, 1, tzinfo=UTC))
    assert (await office.open(lead)).number == "2027-0001"
    await office.execute("UPDATE case_numbers SET last = 9999 WHERE year = 2027")
    assert (await office.open(lead)).number == "2027-10000"


async def test_a_hundred_cases_at_once_get_a_hundred_numbers(office: Office, lead: Principal) -> None:
    opened = await asyncio.gather(*(office.open(lead) for _ in range(100)))
    year = clock.now().year
    assert sorted(case.number for case in opened) == [f"{year}-{n:04d}" for n in range(1, 101)]


async def test_a_number_is_never_given_again(office: Office, lead: Principal) -> None:
    first = await office.open(lead)
    await office.register.delete(lead, first.id, None, ORIGIN)
    assert (await office.open(lead)).number != first.number


async def test_a_listing_shows_ones_own_cases_or_everybodys(office: Office, lead: Principal) -> None:
    other = await office.person()
    mine, theirs = await office.open(lead), await office.open(other)
    assert await numbers(office, lead) == [mine.number]
    assert await numbers(office, await office.person()) == []
    for role in (Role.ADMIN, Role.AUDITOR):
        assert await numbers(office, await office.person(role)) == [theirs.number, mine.number]
    await office.let_in(other, theirs, CaseRole.UPLOADER, lead)
    assert await numbers(office, lead) == [theirs.number, mine.number]
    await office.members.remove(other, theirs.id, lead.user_id, ORIGIN)
    assert await numbers(office, lead) == [mine.number]


async def test_a_listing_is_narrowed_and_paged(office: Office, lead: Principal) -> None:
    cases = [await office.open(lead) for _ in range(3)]
    await move(office, lead, cases[1], CaseStatus.CLOSED)
    assert await numbers(office, lead, CaseStatus.CLOSED) == [cases[1].number]
    assert await numbers(office, lead, CaseStatus.OPEN) == [cases[2].number, cases[0].number]
    first = await office.register.list(lead, None, None, 2)
    assert ([case.id for case in first.items], first.next_after) == (
        [cases[2].id, cases[1].id],
        (cases[1].created_at, cases[1].id),
    )
    last = await office.register.list(lead, None, first.next_after, 2)
    assert ([case.id for case in last.items], last.next_after) == ([cases[0].id], None)


@pytest.mark.parametrize("verb", ["get", "update", "delete", "broken_glass"])
async def test_a_case_of_others_is_not_there(office: Office, lead: Principal, verb: str) -> None:
    case, stranger = await office.open(lead), await office.person()
    answers = []
    for case_id in (case.id, new_id()):
        with pytest.raises(NotFound) as refused:
            await ask(office, stranger, verb, case_id)
        answers.append(str(refused.value))
    assert answers[0] == answers[1]
    assert await office.register.get(lead, case.id) == case


async def ask(office: Office, who: Principal, verb: str, case_id: UUID) -> Any:
    match verb:
        case "get":
            return await office.register.get(who, case_id)
        case "update":
            return await office.register.update(who, case_id, None, CaseChanges(title="theirs"), ORIGIN)
        case "delete":
            return await office.register.delete(who, case_id, None, ORIGIN)
        case _:
            return await office.register.broken_glass(who, case_id)


@pytest.mark.parametrize("role", [CaseRole.CONTRIBUTOR, CaseRole.READER, CaseRole.UPLOADER])
@pytest.mark.parametrize("verb", ["update", "delete", "broken_glass"])
async def test_members_who_do_not_lead_read_alone(office: Office, lead: Principal, role: CaseRole, verb: str) -> None:
    case = await office.open(lead)
    member = await office.let_in(lead, case, role)
    assert await office.register.get(member, case.id) == case
    with pytest.raises(Forbidden):
        await ask(office, member, verb, case.id)


async def test_a_change_counts_the_version_and_is_on_record_with_before_and_after(
    office: Office, lead: Principal
) -> None:
    case = await office.open(lead, description="d")
    changes = CaseChanges("new", None, Severity.LOW, Tlp.RED, CaseStatus.IN_PROGRESS)
    changed = await office.register.update(lead, case.id, 1, changes, ORIGIN)
    assert (changed.title, changed.description, changed.severity, changed.tlp) == ("new", "d", "low", "RED")
    assert (changed.status, changed.version, changed.number) == (CaseStatus.IN_PROGRESS, 2, case.number)
    (event,) = await office.record("case.updated")
    assert event["details"] == {
        "title_before": "a case",
        "title_after": "new",
        "severity_before": "medium",
        "severity_after": "low",
        "tlp_before": "AMBER",
        "tlp_after": "RED",
        "status_before": "open",
        "status_after": "in_progress",
    }


async def test_a_change_of_another_version_is_refused(office: Office, lead: Principal) -> None:
    case = await office.open(lead)
    await office.register.update(lead, case.id, 1, CaseChanges(title="first"), ORIGIN)
    for version in (0, 1, 3):
        with pytest.raises(PreconditionFailed):
            await office.register.update(lead, case.id, version, CaseChanges(title="second"), ORIGIN)
        with pytest.raises(PreconditionFailed):
            await office.register.delete(lead, case.id, version, ORIGIN)
    assert (await office.register.get(lead, case.id)).title == "first"
    assert len(await office.record("case.updated", "case.deleted")) == 1


async def test_of_many_changes_of_one_version_one_is_made(office: Office, lead: Principal) -> None:
    for _ in range(25):
        case = await office.open(lead)
        changes = [office.register.update(lead, case.id, 1, CaseChanges(title=str(n)), ORIGIN) for n in range(4)]
        done = await asyncio.gather(*changes, return_exceptions=True)
        assert [type(answer) for answer in done if isinstance(answer, PortalError)] == [PreconditionFailed] * 3


@pytest.mark.parametrize("before", CaseStatus)
@pytest.mark.parametrize("after", CaseStatus)
async def test_a_case_goes_only_where_the_table_lets_it(
    office: Office, lead: Principal, before: CaseStatus, after: CaseStatus
) -> None:
    case = await office.open(lead)
    await office.execute("UPDATE cases SET status = :status", status=before.value)
    is_over = before is CaseStatus.SHREDDED
    if not is_over and (after == before or after in STATUS_TRANSITIONS[before]):
        assert (await move(office, lead, case, after)).status == after
        return
    with pytest.raises(CaseShredded if is_over else StatusRefused):
        await move(office, lead, case, after)
    assert (await office.register.get(lead, case.id)).status == before


@pytest.mark.parametrize("status", [CaseStatus.CLOSED, CaseStatus.ARCHIVED])
async def test_a_case_that_is_over_is_reopened_before_it_is_changed(
    office: Office, lead: Principal, status: CaseStatus
) -> None:
    case = await move(office, lead, await office.open(lead), CaseStatus.CLOSED)
    await office.execute("UPDATE cases SET status = :status", status=status.value)
    admin = await office.person(Role.ADMIN)
    for who in (lead, admin):
        for changes in (CaseChanges(title="x"), CaseChanges(title="x", status=CaseStatus.OPEN), CaseChanges()):
            with pytest.raises(CaseReadOnly):
                await office.register.update(who, case.id, None, changes, ORIGIN)
        with pytest.raises(CaseReadOnly):
            await office.register.delete(who, case.id, None, ORIGIN)
    await move(office, lead, case, CaseStatus.OPEN)
    assert (await office.register.update(lead, case.id, None, CaseChanges(title="x"), ORIGIN)).title == "x"


async def test_an_empty_case_is_deleted_with_its_members_and_on_record(office: Office, lead: Principal) -> None:
    case = await office.open(lead)
    reader = await office.let_in(lead, case, CaseRole.READER)
    await office.register.delete(lead, case.id, 1, ORIGIN)
    for who in (lead, reader, await office.person(Role.ADMIN)):
        with pytest.raises(NotFound):
            await office.register.get(who, case.id)
    (event,) = await office.record("case.deleted")
    assert event["details"] == {"number": case.number, "title": "a case"}


async def test_what_is_deleted_twice_at_once_is_deleted_once(office: Office, lead: Principal) -> None:
    for _ in range(25):
        case = await office.open(lead)
        answers = await asyncio.gather(
            *(office.register.delete(lead, case.id, None, ORIGIN) for _ in range(3)), return_exceptions=True
        )
        assert sorted(answer is None for answer in answers) == [False, False, True]
        assert all(answer is None or isinstance(answer, NotFound) for answer in answers)
    assert len(await office.record("case.deleted")) == 25


async def test_an_administrator_manages_a_case_of_others(office: Office, lead: Principal) -> None:
    case, admin = await office.open(lead), await office.person(Role.ADMIN)
    assert (await office.register.update(admin, case.id, 1, CaseChanges(title="x"), ORIGIN)).title == "x"
    await office.register.delete(admin, case.id, 2, ORIGIN)


async def test_an_auditor_reads_and_changes_nothing(office: Office, lead: Principal) -> None:
    case, auditor = await office.open(lead), await office.person(Role.AUDITOR)
    assert await office.register.get(auditor, case.id) == case
    assert await office.register.broken_glass(auditor, case.id) == []
    for verb in ("update", "delete"):
        with pytest.raises(Forbidden):
            await ask(office, auditor, verb, case.id)


@pytest.mark.parametrize("column", ["status", "severity", "tlp"])
async def test_an_edited_row_is_damage(office: Office, lead: Principal, column: str) -> None:
    case = await office.open(lead)
    await office.execute(f"UPDATE cases SET {column} = 'x'")  # noqa: S608  # a column's name
    with pytest.raises(IntegrityError):
        await office.register.get(lead, case.id)


async def test_an_edited_membership_is_damage(office: Office, lead: Principal) -> None:
    case = await office.open(lead)
    await office.execute("UPDATE case_members SET role = 'owner'")
    for asked in (office.register.get(lead, case.id), office.members.list(lead, case.id)):
        with pytest.raises(IntegrityError):
            await asked


async def test_pages_do_not_depend_on_the_clock_alone(office: Office, lead: Principal, monkeypatch: Any) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: noon)
    cases = [await office.open(lead) for _ in range(4)]
    monkeypatch.setattr(clock, "now", lambda: noon + timedelta(hours=1))
    seen: list[UUID] = []
    after = None
    for _ in range(4):
        page = await office.register.list(lead, None, after, 1)
        seen += [case.id for case in page.items]
        after = page.next_after
    assert (sorted(seen), after) == (sorted(case.id for case in cases), None)
