"""What a maker loses ends their links: for good, on record, and shown until their time is over."""

import pytest

from portal.core.errors import NotSignedIn
from portal.core.principal import Principal, Role
from portal.features.authz.relation import CaseRole, CaseStatus
from portal.features.identity.accounts import UserChanges
from portal.features.links.endings import end_of_account
from portal.features.links.link_sessions import LinkRefused
from portal.features.links.views import CreatedLink, LinkStatus
from tests.features.files.conftest import ORIGIN, House

from .conftest import Clock, Desk


async def ended(desk: Desk, maker: Principal, *, everything: bool = False) -> int:
    async with desk.house.database.write() as connection:
        return await end_of_account(connection, maker.user_id, actor="a test", origin=ORIGIN, everything=everything)


async def refused(desk: Desk, made: CreatedLink) -> bool:
    try:
        await desk.session(made)
    except LinkRefused:
        return True
    return False


async def states(desk: Desk, who: Principal) -> list[LinkStatus]:
    return [link.status for link in (await desk.links.list(who, None, 10)).items]


@pytest.mark.parametrize("loss", ["disabled", "removed", "made_a_reader", "demoted"])
async def test_a_right_that_comes_back_brings_no_link_back(
    desk: Desk, house: House, lead: Principal, admin: Principal, loss: str
) -> None:
    case_id = await desk.case(lead)
    maker = await house.principal()
    await desk.joins(lead, case_id, maker, CaseRole.CONTRIBUTOR)
    made = await desk.upload_link(maker, case_id)
    by = "a test" if loss in {"disabled", "demoted"} else lead.actor
    match loss:
        case "disabled":
            await house.identity.accounts.change("a test", maker.user_id, None, UserChanges(disabled=True), ORIGIN)
        case "demoted":
            await house.identity.accounts.change("a test", maker.user_id, None, UserChanges(role=Role.AUDITOR), ORIGIN)
        case "removed":
            await desk.members.remove(lead, case_id, maker.user_id, ORIGIN)
        case _:
            await desk.members.set_role(lead, case_id, maker.user_id, CaseRole.READER, ORIGIN)
    why = LinkStatus.CREATOR_DISABLED if loss == "disabled" else LinkStatus.CREATOR_LOST_RIGHT
    back = UserChanges(role=Role.ANALYST, disabled=False)
    await house.identity.accounts.change("a test", maker.user_id, None, back, ORIGIN)
    if loss == "removed":
        await desk.joins(lead, case_id, maker, CaseRole.CONTRIBUTOR)
    await desk.members.set_role(lead, case_id, maker.user_id, CaseRole.CONTRIBUTOR, ORIGIN)
    assert await refused(desk, made)
    assert [link.status for link in (await desk.links.of_case(lead, case_id, None, 10)).items] == [why]
    assert await states(desk, admin) == await states(desk, maker) == [why]
    (event,) = await house.record("link.revoked")
    assert (event["actor"], event["subject"]) == (by, str(made.link.id))
    assert event["details"]["because"] == why


async def test_everything_of_an_account_ends_and_nothing_of_another(desk: Desk, house: House, lead: Principal) -> None:
    other = await house.principal()
    mine, theirs = [await desk.upload_link(lead) for _ in range(2)], await desk.upload_link(other)
    assert await ended(desk, lead, everything=True) == 2
    assert await ended(desk, lead, everything=True) == 0
    assert [await refused(desk, made) for made in (*mine, theirs)] == [True, True, False]
    assert await states(desk, lead) == [LinkStatus.CREATOR_REVOKED_ALL] * 2


async def test_what_runs_by_a_link_whose_time_is_over_ends_with_everything(
    desk: Desk, house: House, lead: Principal, hands: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.features.files.downloads.delivery._JUDGED_SECONDS", 0)
    file = await house.hand_in(lead)
    running = await desk.begin(await desk.session(await desk.download_link(lead, file.id)), file.id)
    await anext(running.chunks)
    hands.passes(days=1, hours=1)  # a link of a day
    await anext(running.chunks)
    assert await ended(desk, lead, everything=True) == 1
    with pytest.raises(NotSignedIn):
        await anext(running.chunks)


async def test_what_may_be_made_now_stays_and_a_case_that_is_closed_takes_no_right(desk: Desk, lead: Principal) -> None:
    case_id = await desk.case(lead)
    made = [await desk.upload_link(lead), await desk.upload_link(lead, case_id), await desk.case_link(lead, case_id)]
    await desk.change(lead, case_id, status=CaseStatus.CLOSED)
    assert await ended(desk, lead) == 0
    await desk.change(lead, case_id, status=CaseStatus.OPEN)
    assert [await refused(desk, link) for link in made] == [False] * 3


async def test_who_clears_up_takes_an_ended_link_off_the_lists(desk: Desk, lead: Principal) -> None:
    made = await desk.upload_link(lead)
    await ended(desk, lead, everything=True)
    for _ in range(2):
        await desk.links.revoke(lead, made.link.id, ORIGIN)
    assert await states(desk, lead) == []
    assert len(await desk.house.record("link.revoked")) == 2  # the end, and by hand


async def test_a_maker_disabled_in_the_database_is_shown(desk: Desk, house: House, lead: Principal) -> None:
    await desk.upload_link(lead)
    await house.execute("UPDATE users SET disabled_at = created_at")
    assert await states(desk, lead) == [LinkStatus.CREATOR_DISABLED]
