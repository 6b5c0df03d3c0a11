"""Who works in a case: let in by those who may, never by themselves, and a lead stays."""

import asyncio
from typing import Any

import pytest

from portal.core.errors import Forbidden, NotFound, PortalError
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.features.authz.policy import CaseReadOnly
from portal.features.authz.relation import CaseRole, CaseStatus
from portal.features.cases.catalog import CaseChanges
from portal.features.cases.members import AlreadyMember, LastLead, MemberRefused
from portal.features.cases.views import CaseView
from tests.reliability.amounts import amount

from .conftest import ORIGIN, Office

LEAD, CONTRIBUTOR, READER, UPLOADER = CaseRole


async def roles(office: Office, who: Principal, case: CaseView) -> dict[str, str]:
    return {member.name: member.role for member in await office.members.list(who, case.id)}


async def add(office: Office, who: Principal, case: CaseView, person: Principal, role: CaseRole = READER) -> Any:
    return await office.members.add(who, case.id, await office.name_of(person), role, ORIGIN)


async def test_a_member_is_let_in_under_their_name_in_any_case(office: Office, lead: Principal) -> None:
    case, bob = await office.open(lead), await office.person()
    name = await office.name_of(bob)
    member = await office.members.add(lead, case.id, name.upper(), CONTRIBUTOR, ORIGIN)
    assert (member.user_id, member.name, member.role) == (bob.user_id, name, "contributor")
    assert member.added_by == lead.user_id
    assert (await office.members.list(bob, case.id))[1] == member
    (event,) = await office.record("case.member_added")
    assert (event["actor"], event["subject"]) == (lead.actor, str(case.id))
    assert event["details"] == {"user_id": str(bob.user_id), "role_before": None, "role_after": "contributor"}


async def test_a_member_is_let_in_once(office: Office, lead: Principal) -> None:
    case, bob = await office.open(lead), await office.person()
    answers = await asyncio.gather(*(add(office, lead, case, bob) for _ in range(5)), return_exceptions=True)
    assert sorted(isinstance(answer, AlreadyMember) for answer in answers) == [False, True, True, True, True]
    with pytest.raises(AlreadyMember):
        await add(office, lead, case, bob, LEAD)
    assert (await roles(office, lead, case))[await office.name_of(bob)] == READER


@pytest.mark.parametrize("name", ["nobody", "", "a b", "x" * 65, "\x00", "' OR 1=1", "\u202e"])
async def test_a_name_that_nobody_has_is_refused(office: Office, lead: Principal, name: str) -> None:
    case = await office.open(lead)
    with pytest.raises(MemberRefused):
        await office.members.add(lead, case.id, name, READER, ORIGIN)


@pytest.mark.parametrize(
    ("account", "role"),
    [(Role.AUDITOR, role) for role in CaseRole] + [(Role.UPLOADER, role) for role in (LEAD, CONTRIBUTOR, READER)],
)
async def test_an_account_is_made_nothing_that_it_cannot_be(
    office: Office, lead: Principal, account: Role, role: CaseRole
) -> None:
    case, person = await office.open(lead), await office.person(account)
    with pytest.raises(MemberRefused) as refused:
        await add(office, lead, case, person, role)
    with pytest.raises(MemberRefused) as unknown:
        await office.members.add(lead, case.id, "nobody", role, ORIGIN)
    assert str(refused.value) == str(unknown.value)  # a lead does not learn who there is


async def test_a_disabled_account_is_not_let_in(office: Office, lead: Principal) -> None:
    case, bob = await office.open(lead), await office.person()
    await office.execute("UPDATE users SET disabled_at = created_at WHERE name = :n", n=await office.name_of(bob))
    with pytest.raises(MemberRefused):
        await add(office, lead, case, bob)


async def test_an_uploader_account_hands_in(office: Office, lead: Principal) -> None:
    case, hands_in = await office.open(lead), await office.person(Role.UPLOADER)
    await add(office, lead, case, hands_in, UPLOADER)
    with pytest.raises(MemberRefused):
        await office.members.set_role(lead, case.id, hands_in.user_id, READER, ORIGIN)
    assert await office.register.get(hands_in, case.id) == case


@pytest.mark.parametrize("role", [CONTRIBUTOR, READER, UPLOADER])
async def test_members_who_do_not_lead_let_nobody_in_or_out(office: Office, lead: Principal, role: CaseRole) -> None:
    case = await office.open(lead)
    member, other = await office.let_in(lead, case, role), await office.let_in(lead, case, READER)
    refused = (
        add(office, member, case, await office.person()),
        office.members.set_role(member, case.id, other.user_id, LEAD, ORIGIN),
        office.members.set_role(member, case.id, member.user_id, LEAD, ORIGIN),
        office.members.remove(member, case.id, other.user_id, ORIGIN),
        office.members.remove(member, case.id, lead.user_id, ORIGIN),
    )
    for attempt in refused:
        with pytest.raises(Forbidden):
            await attempt
    assert len(await office.record("case.member_added")) == 2
    assert await office.record("case.member_changed", "case.member_removed") == []


async def test_strangers_learn_nothing_of_members(office: Office, lead: Principal) -> None:
    case, stranger = await office.open(lead), await office.person()
    for case_id in (case.id, new_id()):
        for attempt in (
            office.members.list(stranger, case_id),
            office.members.add(stranger, case_id, await office.name_of(stranger), LEAD, ORIGIN),
            office.members.set_role(stranger, case_id, lead.user_id, READER, ORIGIN),
            office.members.remove(stranger, case_id, lead.user_id, ORIGIN),
            office.members.remove(stranger, case_id, stranger.user_id, ORIGIN),
        ):
            with pytest.raises(NotFound):
                await attempt


async def test_who_is_no_member_is_not_changed_or_removed(office: Office, lead: Principal) -> None:
    case, nobody = await office.open(lead), await office.person()
    for user_id in (nobody.user_id, new_id()):
        with pytest.raises(NotFound):
            await office.members.set_role(lead, case.id, user_id, READER, ORIGIN)
        with pytest.raises(NotFound):
            await office.members.remove(lead, case.id, user_id, ORIGIN)


async def test_an_administrator_lets_others_in_and_never_themselves(office: Office, lead: Principal) -> None:
    case, admin = await office.open(lead), await office.person(Role.ADMIN)
    await add(office, admin, case, await office.person(), LEAD)
    with pytest.raises(Forbidden):
        await add(office, admin, case, admin, READER)
    await add(office, lead, case, admin, UPLOADER)
    with pytest.raises(Forbidden):
        await office.members.set_role(admin, case.id, admin.user_id, READER, ORIGIN)
    assert (await roles(office, lead, case))[await office.name_of(admin)] == UPLOADER


async def test_a_change_of_role_is_on_record(office: Office, lead: Principal) -> None:
    case = await office.open(lead)
    bob = await office.let_in(lead, case, READER)
    changed = await office.members.set_role(lead, case.id, bob.user_id, LEAD, ORIGIN)
    assert (changed.user_id, changed.role) == (bob.user_id, LEAD)
    (event,) = await office.record("case.member_changed")
    assert event["details"] == {"user_id": str(bob.user_id), "role_before": "reader", "role_after": "lead"}


async def test_everybody_may_leave_and_is_then_a_stranger(office: Office, lead: Principal) -> None:
    case = await office.open(lead)
    for role in CaseRole:
        member = await office.let_in(lead, case, role)
        await office.members.remove(member, case.id, member.user_id, ORIGIN)
        with pytest.raises(NotFound):
            await office.register.get(member, case.id)
    gone = await office.record("case.member_removed")
    assert [event["details"]["role_before"] for event in gone] == ["lead", "contributor", "reader", "uploader"]


async def test_a_case_keeps_its_last_lead(office: Office, lead: Principal) -> None:
    case, admin = await office.open(lead), await office.person(Role.ADMIN)
    await office.let_in(lead, case, CONTRIBUTOR)
    for attempt in (
        office.members.remove(lead, case.id, lead.user_id, ORIGIN),
        office.members.remove(admin, case.id, lead.user_id, ORIGIN),
        office.members.set_role(admin, case.id, lead.user_id, CONTRIBUTOR, ORIGIN),
    ):
        with pytest.raises(LastLead):
            await attempt
    assert (await roles(office, lead, case))[await office.name_of(lead)] == LEAD


@pytest.mark.parametrize("change", ["disabled_at = created_at", "role = 'uploader'", "role = 'auditor'"])
async def test_a_lead_whose_account_cannot_lead_counts_for_none(office: Office, lead: Principal, change: str) -> None:
    case = await office.open(lead)
    other = await office.let_in(lead, case, LEAD)
    await office.execute(f"UPDATE users SET {change} WHERE name = :n", n=await office.name_of(other))  # noqa: S608
    with pytest.raises(LastLead):
        await office.members.remove(lead, case.id, lead.user_id, ORIGIN)
    await office.members.remove(lead, case.id, other.user_id, ORIGIN)


@pytest.mark.race
async def test_of_two_leads_that_remove_each_other_one_stays_in_every_race(office: Office, lead: Principal) -> None:
    other = await office.person()
    for turn in range(amount("RACES")):
        case = await office.open(lead)
        await office.let_in(lead, case, LEAD, other)
        attempts = [
            office.members.remove(lead, case.id, other.user_id, ORIGIN),
            office.members.remove(other, case.id, lead.user_id, ORIGIN)
            if turn % 2
            else office.members.set_role(other, case.id, lead.user_id, READER, ORIGIN),
        ]
        answers = await asyncio.gather(*attempts, return_exceptions=True)
        # Who was removed first is a stranger, or a reader; who would have been the last lead stays.
        assert [answer is None or not isinstance(answer, BaseException) for answer in answers].count(True) == 1
        assert all(isinstance(a, PortalError) for a in answers if isinstance(a, BaseException))
        leads = await office.count(
            "SELECT count(*) FROM case_members JOIN cases ON id = case_id WHERE number = :number AND role = 'lead'",
            number=case.number,
        )
        assert leads == 1


@pytest.mark.race
async def test_of_two_leads_that_leave_at_once_one_stays_in_every_race(office: Office, lead: Principal) -> None:
    other = await office.person()
    for _ in range(amount("RACES")):
        case = await office.open(lead)
        await office.let_in(lead, case, LEAD, other)
        attempts = [office.members.remove(who, case.id, who.user_id, ORIGIN) for who in (lead, other)]
        answers = await asyncio.gather(*attempts, return_exceptions=True)
        assert sorted(type(answer).__name__ for answer in answers) == ["LastLead", "NoneType"]


async def close(office: Office, lead: Principal, case: CaseView, status: CaseStatus) -> None:
    for step in (CaseStatus.CLOSED, status):
        await office.register.update(lead, case.id, None, CaseChanges(status=step), ORIGIN)


async def test_a_closed_case_takes_and_loses_members(office: Office, lead: Principal) -> None:
    case = await office.open(lead)
    await close(office, lead, case, CaseStatus.CLOSED)
    bob = await office.let_in(lead, case, READER)
    await office.members.set_role(lead, case.id, bob.user_id, CONTRIBUTOR, ORIGIN)
    await office.members.remove(lead, case.id, bob.user_id, ORIGIN)


async def test_an_archived_case_only_loses_members(office: Office, lead: Principal) -> None:
    case = await office.open(lead)
    bob, eve = await office.let_in(lead, case, READER), await office.let_in(lead, case, READER)
    await close(office, lead, case, CaseStatus.ARCHIVED)
    with pytest.raises(CaseReadOnly):
        await office.let_in(lead, case, READER)
    with pytest.raises(CaseReadOnly):
        await office.members.set_role(lead, case.id, bob.user_id, LEAD, ORIGIN)
    await office.members.remove(lead, case.id, bob.user_id, ORIGIN)
    await office.members.remove(eve, case.id, eve.user_id, ORIGIN)
    assert len(await roles(office, lead, case)) == 1
