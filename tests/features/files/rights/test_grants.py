"""Grants on both databases: one file, one account more, entry and content, until it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Uuid, bindparam, text

from portal.core.errors import Forbidden, NotFound, NotSignedIn, PortalError
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.features.authz.relation import CaseRole, Tlp
from portal.features.cases.catalog import CaseChanges
from portal.features.files.catalog import Changes
from portal.features.files.downloads import delivery
from portal.features.files.listing import Filters
from portal.features.files.rights.grants import GrantRefused
from portal.features.identity import repository as accounts
from portal.features.identity.accounts import UserChanges
from portal.features.identity.revocation import Revoked

from ..conftest import CONTENT, ORIGIN, House, drink

DAY = timedelta(days=1)


@pytest.fixture
async def bob(house: House) -> Principal:
    return await house.principal()


async def name_of(house: House, who: Principal) -> str:
    async with house.database.read() as connection:
        user = await accounts.user_by_id(connection, who.user_id)
    assert user is not None
    return user.name


async def create(house: House, by: Principal, file_id: UUID, to: Principal, lasts: timedelta = DAY) -> None:
    await house.files.grants.create(by, file_id, await name_of(house, to), lasts, ORIGIN)


async def seen(house: House, who: Principal) -> list[UUID]:
    return [file.id for file in (await house.catalog.list(who, Filters(), None, 50)).items]


async def refusal(work: Awaitable[object]) -> type[PortalError] | None:
    try:
        await work
    except PortalError as error:
        return type(error)
    return None


async def test_whoever_was_let_reads_the_entry_and_the_content_and_finds_it_in_the_list(
    house: House, analyst: Principal, bob: Principal
) -> None:
    file, other = await house.hand_in(analyst), await house.hand_in(analyst)
    assert await refusal(house.fetch(bob, file.id)) is NotFound
    await create(house, analyst, file.id, bob)
    assert await house.fetch(bob, file.id) == CONTENT
    assert (await house.catalog.get(bob, file.id)).id == file.id
    assert await seen(house, bob) == [file.id]
    assert await refusal(house.fetch(bob, other.id)) is NotFound
    (shown,) = await house.files.grants.list(analyst, file.id)
    assert (shown.user_id, shown.granted_by) == (bob.user_id, analyst.user_id)
    (event,) = await house.record("file.granted")
    assert (event["actor"], event["subject"], event["details"]["user_id"]) == (
        analyst.actor,
        str(file.id),
        str(bob.user_id),
    )


async def test_it_opens_nothing_else(house: House, analyst: Principal, bob: Principal) -> None:
    file, carol = await house.hand_in(analyst), await house.principal()
    await create(house, analyst, file.id, bob)
    for work in (
        house.catalog.update(bob, file.id, None, Changes(description="mine"), ORIGIN),
        house.catalog.delete(bob, file.id, None, ORIGIN),
        house.files.mover.move(bob, file.id, None, None, ORIGIN),
        house.files.grants.list(bob, file.id),
        create(house, bob, file.id, carol),
        house.files.grants.revoke(bob, file.id, carol.user_id, ORIGIN),
    ):
        assert await refusal(work) is Forbidden
    assert await refusal(house.fetch(carol, file.id)) is NotFound


async def test_it_ends_with_its_time_and_can_be_given_anew(
    house: House, analyst: Principal, bob: Principal, later: Callable[[timedelta], None]
) -> None:
    file = await house.hand_in(analyst)
    await create(house, analyst, file.id, bob)
    later(DAY)
    assert await refusal(house.fetch(bob, file.id)) is NotFound
    assert await seen(house, bob) == await house.files.grants.list(analyst, file.id) == []
    await create(house, analyst, file.id, bob)
    assert await house.fetch(bob, file.id) == CONTENT
    later(DAY * 3)
    await house.maintenance.sweep()
    assert await house.rows("file_grants") == []


async def test_what_is_given_while_everything_ends_ends_as_well(house: House, bob: Principal) -> None:
    for _ in range(10):
        giver = await house.principal()
        files = [await house.hand_in(giver) for _ in range(4)]
        gifts = [refusal(create(house, giver, file.id, bob)) for file in files]
        ending = house.identity.accounts.end_everything("a test", giver.user_id, ORIGIN)
        told = await asyncio.gather(*gifts[:2], ending, *gifts[2:])
        assert {*told[:2], *told[3:]} <= {None, NotSignedIn}
        assert await house.rows("file_grants") == []


async def revoke(house: House, by: Principal, file_id: UUID, bob: Principal) -> None:
    await house.files.grants.revoke(by, file_id, bob.user_id, ORIGIN)


async def move(house: House, by: Principal, file_id: UUID, _: Principal) -> None:
    await house.files.mover.move(by, file_id, None, (await house.open_case(by)).id, ORIGIN)


@pytest.mark.parametrize("end", [revoke, move])
async def test_what_ends_it_takes_a_running_download_along(
    house: House,
    analyst: Principal,
    bob: Principal,
    end: Callable[..., Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "_JUDGED_SECONDS", 0.0)
    file = await house.hand_in(analyst)
    await create(house, analyst, file.id, bob)
    running = await house.deliveries.start(bob, file.id, ORIGIN)
    got = bytearray(await anext(running.chunks))
    await end(house, analyst, file.id, bob)
    with pytest.raises(NotFound):
        await drink(running, got)
    assert len(got) < len(CONTENT)
    assert await seen(house, bob) == []


async def test_a_lead_grants_out_of_a_case_and_nobody_below_one(
    house: House, analyst: Principal, bob: Principal
) -> None:
    contributor = await house.principal()
    case = await house.open_case(analyst)
    await house.let_in(analyst, case.id, contributor, CaseRole.CONTRIBUTOR)
    file = await house.hand_in(contributor, case_id=case.id)
    assert await refusal(create(house, contributor, file.id, bob)) is Forbidden
    await create(house, analyst, file.id, bob)
    assert await house.fetch(bob, file.id) == CONTENT
    assert await seen(house, bob) == [file.id]
    await house.let_in(analyst, case.id, bob, CaseRole.READER)
    assert await seen(house, bob) == [file.id]  # once, though two ways lead there


async def test_a_case_that_turns_red_is_for_its_members_alone(house: House, analyst: Principal, bob: Principal) -> None:
    case = await house.open_case(analyst)
    file = await house.hand_in(analyst, case_id=case.id)
    await create(house, analyst, file.id, bob)
    await house.cases.register.update(analyst, case.id, None, CaseChanges(tlp=Tlp.RED), ORIGIN)
    assert await refusal(house.fetch(bob, file.id)) is NotFound
    assert await seen(house, bob) == []
    assert await house.fetch(analyst, file.id) == CONTENT


async def disable(house: House, giver: Principal, _: Principal, __: UUID) -> None:
    await change(house, giver, disabled=True)
    await change(house, giver, disabled=False)


async def make_auditor(house: House, giver: Principal, _: Principal, __: UUID) -> None:
    await change(house, giver, role=Role.AUDITOR)
    await change(house, giver, role=Role.ANALYST)


async def remove(house: House, giver: Principal, lead: Principal, case_id: UUID) -> None:
    await house.cases.members.remove(lead, case_id, giver.user_id, ORIGIN)
    await house.let_in(lead, case_id, giver, CaseRole.LEAD)


async def demote(house: House, giver: Principal, lead: Principal, case_id: UUID) -> None:
    for role in (CaseRole.CONTRIBUTOR, CaseRole.LEAD):
        await house.cases.members.set_role(lead, case_id, giver.user_id, role, ORIGIN)


async def leave(house: House, giver: Principal, lead: Principal, case_id: UUID) -> None:
    await house.cases.members.remove(giver, case_id, giver.user_id, ORIGIN)
    await house.let_in(lead, case_id, giver, CaseRole.LEAD)


async def change(house: House, who: Principal, **changes: Any) -> None:
    await house.identity.accounts.change("system:test", who.user_id, None, UserChanges(**changes), ORIGIN)


@pytest.mark.parametrize("loses", [disable, make_auditor, remove, demote, leave])
async def test_it_dies_with_the_right_of_who_gave_it_and_stays_dead_when_they_return(
    house: House, analyst: Principal, bob: Principal, loses: Callable[..., Awaitable[None]]
) -> None:
    giver = await house.principal()
    case = await house.open_case(analyst)
    await house.let_in(analyst, case.id, giver, CaseRole.LEAD)
    file, kept = await house.hand_in(giver, case_id=case.id), await house.hand_in(giver, case_id=case.id)
    await create(house, giver, file.id, bob)
    await create(house, analyst, kept.id, bob)
    await loses(house, giver, analyst, case.id)
    assert await refusal(house.fetch(bob, file.id)) is NotFound
    assert await seen(house, bob) == [kept.id]  # what another lead gave is theirs to take back
    assert await house.files.grants.list(analyst, file.id) == []
    (event,) = await house.record("file.grant_revoked")
    assert (event["subject"], event["details"]["created_by"]) == (str(file.id), str(giver.user_id))


@pytest.mark.parametrize("loses", [disable, make_auditor])
async def test_a_grant_of_an_inbox_dies_with_its_owner(
    house: House, analyst: Principal, bob: Principal, loses: Callable[..., Awaitable[None]]
) -> None:
    file = await house.hand_in(analyst)
    await create(house, analyst, file.id, bob)
    await loses(house, analyst, analyst, file.id)
    assert await refusal(house.fetch(bob, file.id)) is NotFound
    assert await house.rows("file_grants") == []


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE users SET disabled_at = created_at WHERE id = :giver",
        "UPDATE users SET role = 'uploader' WHERE id = :giver",
        "UPDATE case_members SET role = 'contributor' WHERE user_id = :giver",
        "DELETE FROM case_members WHERE user_id = :giver",
    ],
)
async def test_the_statement_itself_judges_the_giver_and_the_sweep_ends_what_it_finds(
    house: House, analyst: Principal, bob: Principal, edit: str
) -> None:
    giver = await house.principal()
    case = await house.open_case(analyst)
    await house.let_in(analyst, case.id, giver, CaseRole.LEAD)
    file = await house.hand_in(giver, case_id=case.id)
    await create(house, giver, file.id, bob)
    async with house.database.write() as connection:
        await connection.execute(text(edit).bindparams(bindparam("giver", type_=Uuid)), {"giver": giver.user_id})
    assert await refusal(house.fetch(bob, file.id)) is NotFound
    assert await seen(house, bob) == await house.files.grants.list(analyst, file.id) == []
    await house.maintenance.sweep()
    assert await house.rows("file_grants") == []


async def test_one_act_ends_all_that_an_account_gave(house: House, analyst: Principal, bob: Principal) -> None:
    carol = await house.principal()
    files = [await house.hand_in(analyst) for _ in range(2)]
    others = await house.hand_in(carol)
    for file in files:
        await create(house, analyst, file.id, bob)
    await create(house, carol, others.id, bob)
    async with house.database.write() as connection:
        await house.revocations.run(connection, Revoked(analyst.user_id, "system:test", everything=True))
    assert await seen(house, bob) == [others.id]
    assert len(await house.record("file.grant_revoked")) == 2


async def test_an_uploader_account_lets_nobody_read_and_learns_of_no_name(house: House, bob: Principal) -> None:
    uploader = await house.principal(Role.UPLOADER)
    file = await house.hand_in(uploader)
    assert await refusal(create(house, uploader, file.id, bob)) is Forbidden
    assert await refusal(house.files.grants.create(uploader, file.id, "nobody at all", DAY, ORIGIN)) is Forbidden


@pytest.mark.parametrize("role", [Role.UPLOADER, Role.AUDITOR])
async def test_accounts_that_never_read_are_granted_nothing(house: House, analyst: Principal, role: Role) -> None:
    file, other = await house.hand_in(analyst), await house.principal(role)
    assert await refusal(create(house, analyst, file.id, other)) is GrantRefused
    assert await house.files.grants.list(analyst, file.id) == []


@pytest.mark.parametrize("name", ["nobody at all", "", "a\x00b", "x" * 400])
async def test_who_is_not_there_is_refused_in_the_same_words(house: House, analyst: Principal, name: str) -> None:
    file = await house.hand_in(analyst)
    with pytest.raises(GrantRefused):
        await house.files.grants.create(analyst, file.id, name, DAY, ORIGIN)


async def test_who_was_let_read_may_decline_and_no_more(house: House, analyst: Principal, bob: Principal) -> None:
    carol = await house.principal()
    file = await house.hand_in(analyst)
    for reader in (bob, carol):
        await create(house, analyst, file.id, reader)
    assert await refusal(house.files.grants.revoke(bob, file.id, carol.user_id, ORIGIN)) is Forbidden
    await revoke(house, bob, file.id, bob)
    assert await refusal(house.fetch(bob, file.id)) is NotFound
    assert await refusal(revoke(house, bob, file.id, bob)) is NotFound
    assert [grant.user_id for grant in await house.files.grants.list(analyst, file.id)] == [carol.user_id]
    (event,) = await house.record("file.grant_revoked")
    assert (event["actor"], event["details"]["user_id"]) == (bob.actor, str(bob.user_id))


async def test_grants_are_listed_by_case_and_by_account_in_pages(house: House, analyst: Principal) -> None:
    case, other = await house.open_case(analyst), await house.open_case(analyst)
    reader, auditor = await house.principal(), await house.principal(Role.AUDITOR)
    files = [await house.hand_in(analyst, case_id=where) for where in (case.id, case.id, other.id, None)]
    for file in files:
        await create(house, analyst, file.id, reader)
    grants = house.files.grants
    first = await grants.of_case(analyst, case.id, None, 1)
    second = await grants.of_case(auditor, case.id, first.next_after, 1)
    assert [grant.file_id for grant in first.items + second.items] == [files[1].id, files[0].id]
    assert (first.items[0].user_id, first.items[0].case_id, second.next_after) == (reader.user_id, case.id, None)
    for who, given in ((analyst, True), (reader, False), (auditor, True)):
        whose = analyst.user_id if given else reader.user_id
        found = (await grants.of_account(who, whose, None, 50, given=given)).items
        assert [grant.file_id for grant in found] == [file.id for file in reversed(files)]
    assert await refusal(grants.of_account(reader, analyst.user_id, None, 50, given=True)) is NotFound
    assert await refusal(grants.of_case(reader, case.id, None, 50)) is NotFound
    confined = replace(analyst, case_id=other.id)
    found = (await grants.of_account(confined, analyst.user_id, None, 50, given=True)).items
    assert [grant.file_id for grant in found] == [files[2].id]
    await house.cases.register.update(analyst, case.id, None, CaseChanges(tlp=Tlp.RED), ORIGIN)
    found = (await grants.of_account(reader, reader.user_id, None, 50, given=False)).items
    assert {grant.file_id for grant in found} == {files[2].id, files[3].id}


async def test_taking_back_what_was_not_given(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    assert await refusal(house.files.grants.revoke(analyst, file.id, new_id(), ORIGIN)) is NotFound
    assert await house.record("file.grant_revoked") == []
