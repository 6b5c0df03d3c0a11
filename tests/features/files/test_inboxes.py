"""A leaver's inbox goes to another owner: by an administrator, on record, whole, and only to readers."""

import pytest

from portal.core.errors import Forbidden, NotFound, NotSignedIn, PortalError
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.features.files import inboxes
from portal.features.files.inboxes import InboxInUse, TransferRefused
from portal.features.identity import repository as accounts
from portal.features.identity.accounts import UserChanges

from .conftest import CONTENT, ORIGIN, House


@pytest.fixture
async def admin(house: House) -> Principal:
    return await house.principal(Role.ADMIN)


async def name_of(house: House, who: Principal) -> str:
    async with house.database.read() as connection:
        user = await accounts.user_by_id(connection, who.user_id)
    assert user is not None
    return user.name


async def change(house: House, who: Principal, changes: UserChanges) -> None:
    await house.identity.accounts.change("system:test", who.user_id, None, changes, ORIGIN)


async def give(house: House, by: Principal | str, leaver: Principal, to: Principal) -> int:
    return await house.files.inboxes.transfer(by, leaver.user_id, await name_of(house, to), ORIGIN)


@pytest.mark.parametrize("leaves", [UserChanges(disabled=True), UserChanges(role=Role.AUDITOR)])
async def test_all_of_the_inbox_and_nothing_else_has_another_owner(
    house: House, admin: Principal, leaves: UserChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "_PAGE", 2)
    ana, heir, lead = await house.principal(), await house.principal(), await house.principal()
    case = await house.open_case(lead, contributor=ana)
    files = [await house.hand_in(ana, key=f"key-{number}") for number in range(5)]
    in_case, others = await house.hand_in(ana, case_id=case.id), await house.hand_in(lead)
    await house.hand_in(heir, key="key-1")  # a key of the heir's own: no file is lost to it
    await change(house, ana, leaves)
    assert await give(house, admin, ana, heir) == 5
    assert await give(house, admin, ana, heir) == 0
    for file in files:
        assert await house.fetch(heir, file.id) == CONTENT
        assert (await house.catalog.get(heir, file.id)).version == file.version + 1
    for file in (in_case, others):
        with pytest.raises(NotFound):
            await house.fetch(heir, file.id)
    events = await house.record("file.transferred")
    assert {event["subject"] for event in events} == {str(file.id) for file in files}
    said = {"owner_before": str(ana.user_id), "owner_after": str(heir.user_id)}
    assert all((event["actor"], event["details"]) == (admin.actor, said) for event in events)


async def test_who_can_still_reach_it_keeps_it(house: House, admin: Principal, analyst: Principal) -> None:
    await house.hand_in(analyst)
    with pytest.raises(InboxInUse):
        await give(house, admin, analyst, await house.principal())


async def test_it_goes_to_no_one_who_would_not_read_it_or_who_hands_it_over(
    house: House, admin: Principal, analyst: Principal
) -> None:
    file = await house.hand_in(analyst)
    gone = await house.principal()
    for who in (analyst, gone):
        await change(house, who, UserChanges(disabled=True))
    for heir in (await house.principal(Role.UPLOADER), await house.principal(Role.AUDITOR), gone, admin, analyst):
        with pytest.raises(TransferRefused):
            await give(house, admin, analyst, heir)
    with pytest.raises(TransferRefused):
        await house.files.inboxes.transfer(admin, analyst.user_id, "nobody at all", ORIGIN)
    with pytest.raises(NotFound):
        await house.files.inboxes.transfer(admin, new_id(), await name_of(house, admin), ORIGIN)
    assert (await house.catalog.get(admin, file.id)).owner_id == analyst.user_id
    assert await house.record("file.transferred") == []


@pytest.mark.usefixtures("admin")  # the last one cannot be demoted
async def test_an_administrator_is_judged_as_of_now(house: House, analyst: Principal) -> None:
    heir, ended = await house.principal(), await house.principal(Role.ADMIN)
    await change(house, analyst, UserChanges(disabled=True))
    for by, error in ((heir, Forbidden), (ended, NotSignedIn)):
        await change(house, ended, UserChanges(role=Role.ANALYST)) if by is ended else None
        assert await _refusal(house, by, analyst, heir) is error
    assert await give(house, "system:cli/root", analyst, heir) == 0


async def _refusal(house: House, by: Principal, leaver: Principal, to: Principal) -> type[PortalError] | None:
    try:
        await give(house, by, leaver, to)
    except PortalError as error:
        return type(error)
    return None
