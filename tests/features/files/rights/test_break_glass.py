"""Breaking glass: for administrators, with a reason, for fifteen minutes, one file, and in front of the case's lead."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from portal.core.errors import Forbidden, NotFound
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.features.authz.relation import CaseRole, CaseStatus
from portal.features.cases.catalog import CaseChanges
from portal.features.cases.views import CaseView
from portal.features.files.downloads import delivery
from portal.features.files.rights.break_glass import DURATION

from ..conftest import CONTENT, ORIGIN, House, drink

REASON = "Court order 26/1187."


@pytest.fixture
async def case(house: House, analyst: Principal) -> CaseView:
    return await house.open_case(analyst)


@pytest.fixture
async def admin(house: House) -> Principal:
    return await house.principal(Role.ADMIN)


async def test_who_gave_a_reason_reads_that_file_and_the_lead_sees_it(
    house: House, analyst: Principal, admin: Principal, case: CaseView
) -> None:
    file, other = await house.hand_in(analyst, case_id=case.id), await house.hand_in(analyst, case_id=case.id)
    with pytest.raises(Forbidden):
        await house.fetch(admin, file.id)
    until = await house.files.break_glass.grant(admin, file.id, REASON, ORIGIN)
    assert await house.fetch(admin, file.id) == CONTENT
    assert (await house.deliveries.describe(admin, file.id)).id == file.id
    for refused in (house.fetch(admin, other.id), house.fetch(await house.principal(Role.ADMIN), file.id)):
        with pytest.raises(Forbidden):
            await refused
    (shown,) = await house.cases.register.broken_glass(analyst, case.id)
    assert (shown.file_id, shown.user_id, shown.reason, shown.expires_at) == (file.id, admin.user_id, REASON, until)
    (event,) = await house.record("file.glass_broken")
    assert (event["actor"], event["subject"]) == (admin.actor, str(file.id))
    assert {event["details"]["case_id"], event["details"]["reason"]} == {str(case.id), REASON}
    (started,) = await house.record("file.download_started")
    assert started["actor"] == admin.actor


async def test_it_opens_nothing_else(house: House, analyst: Principal, admin: Principal, case: CaseView) -> None:
    file, elsewhere = await house.hand_in(analyst, case_id=case.id), await house.open_case(admin)
    await house.files.break_glass.grant(admin, file.id, REASON, ORIGIN)
    with pytest.raises(Forbidden):
        await house.files.mover.move(admin, file.id, None, elsewhere.id, ORIGIN)
    with pytest.raises(Forbidden):
        await house.hand_in(admin, case_id=case.id)


async def test_it_lasts_a_quarter_of_an_hour(
    house: House, analyst: Principal, admin: Principal, case: CaseView, later: Callable[[timedelta], None]
) -> None:
    file = await house.hand_in(analyst, case_id=case.id)
    await house.files.break_glass.grant(admin, file.id, REASON, ORIGIN)
    later(DURATION - timedelta(minutes=1))
    assert await house.fetch(admin, file.id) == CONTENT
    later(DURATION + timedelta(minutes=1))
    with pytest.raises(Forbidden):
        await house.fetch(admin, file.id)
    assert len(await house.cases.register.broken_glass(analyst, case.id)) == 1  # what was, stays to be seen


async def test_a_download_ends_with_it(
    house: House,
    analyst: Principal,
    admin: Principal,
    case: CaseView,
    later: Callable[[timedelta], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = await house.hand_in(analyst, case_id=case.id)
    await house.files.break_glass.grant(admin, file.id, REASON, ORIGIN)
    monkeypatch.setattr(delivery, "_JUDGED_SECONDS", 0.0)
    running = await house.deliveries.start(admin, file.id, ORIGIN)
    got = bytearray(await anext(running.chunks))
    later(DURATION + timedelta(seconds=1))
    with pytest.raises(Forbidden):
        await drink(running, got)
    assert len(got) < len(CONTENT)


async def test_it_ends_where_the_file_leaves(
    house: House, analyst: Principal, admin: Principal, case: CaseView
) -> None:
    file, other = await house.hand_in(analyst, case_id=case.id), await house.open_case(analyst)
    await house.files.break_glass.grant(admin, file.id, REASON, ORIGIN)
    for target in (other.id, None):
        await house.files.mover.move(analyst, file.id, None, target, ORIGIN)
        with pytest.raises(Forbidden):
            await house.fetch(admin, file.id)
    assert len(await house.cases.register.broken_glass(analyst, case.id)) == 1
    assert await house.cases.register.broken_glass(analyst, other.id) == []


@pytest.mark.parametrize("account", ["analyst", "uploader", "auditor"])
async def test_it_ends_with_the_account_that_may(
    house: House, analyst: Principal, admin: Principal, case: CaseView, account: str
) -> None:
    file = await house.hand_in(analyst, case_id=case.id)
    await house.files.break_glass.grant(admin, file.id, REASON, ORIGIN)
    demoted = Principal(admin.actor, Role(account), admin.user_id, admin.credential_id)
    with pytest.raises((NotFound, Forbidden)):
        await house.fetch(demoted, file.id)


async def test_nobody_else_breaks_glass(house: House, analyst: Principal, case: CaseView) -> None:
    file = await house.hand_in(analyst, case_id=case.id)
    reader, stranger, auditor = [await house.principal(role) for role in (Role.ANALYST, Role.ANALYST, Role.AUDITOR)]
    await house.let_in(analyst, case.id, reader, CaseRole.READER)
    refused = {analyst: Forbidden, reader: Forbidden, stranger: NotFound, auditor: Forbidden}
    for who, error in refused.items():
        with pytest.raises(error):
            await house.files.break_glass.grant(who, file.id, REASON, ORIGIN)
    assert await house.record("file.glass_broken") == []


async def test_nobody_breaks_an_inbox_or_what_is_not_there(house: House, analyst: Principal, admin: Principal) -> None:
    file = await house.hand_in(analyst)
    with pytest.raises(Forbidden):
        await house.files.break_glass.grant(admin, file.id, REASON, ORIGIN)
    with pytest.raises(NotFound):
        await house.files.break_glass.grant(admin, new_id(), REASON, ORIGIN)
    with pytest.raises(Forbidden):
        await house.fetch(admin, file.id)


async def test_a_case_that_is_over_is_still_read_that_way(
    house: House, analyst: Principal, admin: Principal, case: CaseView
) -> None:
    file = await house.hand_in(analyst, case_id=case.id)
    for status in (CaseStatus.CLOSED, CaseStatus.ARCHIVED):
        await house.cases.register.update(analyst, case.id, None, CaseChanges(status=status), ORIGIN)
    await house.files.break_glass.grant(admin, file.id, REASON, ORIGIN)
    assert await house.fetch(admin, file.id) == CONTENT


async def test_it_is_told_whether_it_was_read_and_stays_when_file_and_case_are_gone(
    house: House, analyst: Principal, admin: Principal, case: CaseView
) -> None:
    auditor, register = await house.principal(Role.AUDITOR), house.cases.register
    file, unread = await house.hand_in(analyst, case_id=case.id), await house.hand_in(analyst, case_id=case.id)
    for one in (file, unread):
        await house.files.break_glass.grant(admin, one.id, REASON, ORIGIN)
    await house.fetch(analyst, unread.id)  # the lead's own reading is none of the administrator's
    for _ in range(2):
        await house.fetch(admin, file.id)
    not_read, read = await register.broken_glass(analyst, case.id)
    assert (not_read.file_id, not_read.first_read_at, not_read.last_read_at) == (unread.id, None, None)
    assert read.first_read_at is not None
    assert read.last_read_at is not None
    assert read.created_at <= read.first_read_at < read.last_read_at <= read.expires_at
    for one in (file, unread):
        await house.catalog.delete(admin, one.id, None, ORIGIN)
    await register.delete(admin, case.id, None, ORIGIN)
    elsewhere = await house.open_case(analyst)
    third = await house.hand_in(analyst, case_id=elsewhere.id)
    await house.files.break_glass.grant(admin, third.id, REASON, ORIGIN)
    first = await register.all_broken_glass(auditor, None, None, 2)
    rest = await register.all_broken_glass(auditor, None, first.next_after, 2)
    assert [break_glass.file_id for break_glass in first.items + rest.items] == [third.id, unread.id, file.id]
    assert rest.items == [read]
    assert (await register.all_broken_glass(admin, case.id, None, 50)).items == [not_read, read]
    with pytest.raises(Forbidden):
        await register.all_broken_glass(analyst, None, None, 50)
