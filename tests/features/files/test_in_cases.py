"""Files in cases: handed in under the case's own keys, and there for its members, whoever handed them in."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from portal.core.errors import Forbidden, IntegrityError, NotFound, PortalError
from portal.core.ids import new_id
from portal.core.principal import Principal, Role
from portal.features.authz.policy import CaseReadOnly
from portal.features.authz.relation import CaseRole, CaseStatus
from portal.features.cases import relations
from portal.features.cases.catalog import CaseChanges, CaseNotEmpty
from portal.features.cases.views import CaseView
from portal.features.files.catalog import Changes
from portal.features.files.downloads import delivery
from portal.features.files.listing import Filters
from portal.features.files.uploads.attempt import KeyReused, UploadGone
from portal.features.files.views import FileView
from tests.reliability.amounts import amount

from .conftest import CONTENT, GRACE, MARKER, ORIGIN, House, drink

LEAD, CONTRIBUTOR, READER, UPLOADER = CaseRole


@pytest.fixture
async def case(house: House, analyst: Principal) -> CaseView:
    """A case that the analyst leads."""
    return await house.open_case(analyst)


async def member(house: House, lead: Principal, case: CaseView, role: CaseRole) -> Principal:
    person = await house.principal()
    await house.let_in(lead, case.id, person, role)
    return person


async def close(house: House, lead: Principal, case: CaseView, status: CaseStatus = CaseStatus.CLOSED) -> None:
    for step in dict.fromkeys((CaseStatus.CLOSED, status)):
        await house.cases.register.update(lead, case.id, None, CaseChanges(status=step), ORIGIN)


async def names(house: House, who: Principal, **filters: Any) -> list[str]:
    return sorted(file.name for file in (await house.catalog.list(who, Filters(**filters), None, 50)).items)


async def test_a_file_in_a_case_is_under_the_cases_own_key(house: House, analyst: Principal, case: CaseView) -> None:
    file = await house.hand_in(analyst, case_id=case.id)
    assert (file.case_id, file.scope) == (case.id, f"case:{case.id.hex}")
    keys = {key["scope"]: UUID(str(key["id"])) for key in await house.rows("data_keys")}
    assert keys[file.scope] == file.data_key_id
    (blob,) = await house.rows("blobs")
    assert UUID(str(blob["data_key_id"])) == file.data_key_id
    assert await house.fetch(analyst, file.id) == CONTENT
    (event,) = await house.record("file.uploaded")
    assert event["details"]["case_id"] == str(case.id)


async def test_two_cases_and_an_inbox_have_three_keys(house: House, analyst: Principal, case: CaseView) -> None:
    other = await house.open_case(analyst)
    files = [await house.hand_in(analyst, case_id=place) for place in (None, case.id, other.id)]
    assert len({file.data_key_id for file in files}) == 3


ROLES_AND_WHAT_THEY_GET = {
    LEAD: (None, None, None, None, None),
    CONTRIBUTOR: (None, None, None, None, Forbidden),
    READER: (Forbidden, None, None, Forbidden, Forbidden),
    UPLOADER: (None, NotFound, NotFound, NotFound, NotFound),
    None: (NotFound, NotFound, NotFound, NotFound, NotFound),
}


@pytest.mark.parametrize("role", ROLES_AND_WHAT_THEY_GET)
async def test_members_get_what_the_table_gives_them(
    house: House, analyst: Principal, case: CaseView, role: CaseRole | None
) -> None:
    file = await house.hand_in(analyst, case_id=case.id)
    caller = await house.principal() if role is None else await member(house, analyst, case, role)
    attempts: tuple[Awaitable[Any], ...] = (
        house.hand_in(caller, case_id=case.id),
        house.catalog.get(caller, file.id),
        house.fetch(caller, file.id),
        house.catalog.update(caller, file.id, None, Changes(description="x"), ORIGIN),
        house.catalog.delete(caller, file.id, None, ORIGIN),
    )
    for attempt, error in zip(attempts, ROLES_AND_WHAT_THEY_GET[role], strict=True):
        if error is None:
            await attempt
        else:
            with pytest.raises(error):
                await attempt


async def test_an_uploader_of_a_case_sees_the_entries_of_their_own_alone(
    house: House, analyst: Principal, case: CaseView
) -> None:
    await house.hand_in(analyst, name="the lead's", case_id=case.id)
    for account in (Role.UPLOADER, Role.ANALYST):
        caller = await house.principal(account)
        await house.let_in(analyst, case.id, caller, UPLOADER)
        file = await house.hand_in(caller, name="mine", case_id=case.id)
        assert await house.catalog.get(caller, file.id) == file
        assert await names(house, caller) == await names(house, caller, case_id=case.id) == ["mine"]
        for refused in (
            house.fetch(caller, file.id),
            house.deliveries.describe(caller, file.id),
            house.catalog.delete(caller, file.id, None, ORIGIN),
            house.catalog.update(caller, file.id, None, Changes(name="x"), ORIGIN),
        ):
            with pytest.raises(Forbidden):
                await refused


async def test_who_handed_a_file_in_has_no_right_to_it_beyond_their_membership(
    house: House, analyst: Principal, case: CaseView
) -> None:
    contributor = await member(house, analyst, case, CONTRIBUTOR)
    file = await house.hand_in(contributor, case_id=case.id)
    assert await house.fetch(contributor, file.id) == CONTENT
    await house.cases.members.remove(analyst, case.id, contributor.user_id, ORIGIN)
    for attempt in (
        house.catalog.get(contributor, file.id),
        house.fetch(contributor, file.id),
        house.deliveries.describe(contributor, file.id),
        house.catalog.update(contributor, file.id, None, Changes(name="x"), ORIGIN),
        house.catalog.delete(contributor, file.id, None, ORIGIN),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await names(house, contributor) == []
    assert await house.fetch(analyst, file.id) == CONTENT


async def test_a_listing_is_the_inbox_and_the_cases_newest_first(
    house: House, analyst: Principal, case: CaseView
) -> None:
    reader, theirs = await member(house, analyst, case, READER), await house.open_case(await house.principal())
    files = [
        await house.hand_in(reader, name="mine"),
        await house.hand_in(analyst, name="the case's", case_id=case.id),
        await house.hand_in(reader, name="mine again"),
        await house.hand_in(analyst, name="the case's again", case_id=case.id),
    ]
    await house.hand_in(analyst, name="the lead's inbox")
    assert theirs.id != case.id
    seen: list[UUID] = []
    after = None
    for _ in files:
        page = await house.catalog.list(reader, Filters(), after, 1)
        seen += [file.id for file in page.items]
        after = page.next_after
    assert (seen, after) == ([file.id for file in reversed(files)], None)
    assert await names(house, reader, case_id=case.id) == ["the case's", "the case's again"]
    assert await names(house, reader, name="AGAIN") == ["mine again", "the case's again"]


async def test_a_listing_of_a_case_is_for_those_who_may_know_of_it(
    house: House, analyst: Principal, case: CaseView
) -> None:
    await house.hand_in(analyst, name="in it", case_id=case.id)
    for role in (Role.ADMIN, Role.AUDITOR):
        assert await names(house, await house.principal(role), case_id=case.id) == ["in it"]
    for case_id in (case.id, new_id()):
        with pytest.raises(NotFound):
            await names(house, await house.principal(), case_id=case_id)


@pytest.mark.parametrize("status", [CaseStatus.CLOSED, CaseStatus.ARCHIVED])
async def test_a_case_that_is_over_is_read_and_not_changed(
    house: House, analyst: Principal, case: CaseView, status: CaseStatus
) -> None:
    file = await house.hand_in(analyst, case_id=case.id)
    reader, admin = await member(house, analyst, case, READER), await house.principal(Role.ADMIN)
    await close(house, analyst, case, status)
    for attempt in (
        house.hand_in(analyst, case_id=case.id),
        house.catalog.update(analyst, file.id, None, Changes(name="x"), ORIGIN),
        house.catalog.delete(analyst, file.id, None, ORIGIN),
        house.catalog.update(admin, file.id, None, Changes(name="x"), ORIGIN),
        house.catalog.delete(admin, file.id, None, ORIGIN),
    ):
        with pytest.raises(CaseReadOnly):
            await attempt
    for who in (analyst, reader):
        assert await house.fetch(who, file.id) == CONTENT
        assert await house.catalog.get(who, file.id) == file
    await house.cases.register.update(analyst, case.id, None, CaseChanges(status=CaseStatus.OPEN), ORIGIN)
    await house.catalog.delete(analyst, file.id, None, ORIGIN)


async def test_a_case_with_a_file_is_not_deleted(house: House, analyst: Principal, case: CaseView) -> None:
    file = await house.hand_in(analyst, MARKER.encode(), case_id=case.id)  # one in quarantine is a file, too
    with pytest.raises(CaseNotEmpty):
        await house.cases.register.delete(analyst, case.id, None, ORIGIN)
    assert await house.cases.register.get(analyst, case.id) == case
    assert len(await house.cases.members.list(analyst, case.id)) == 1
    await house.catalog.delete(analyst, file.id, None, ORIGIN)
    await house.cases.register.delete(analyst, case.id, None, ORIGIN)


async def test_a_case_that_a_file_is_arriving_in_is_not_deleted(
    house: House, analyst: Principal, case: CaseView
) -> None:
    async def deleted_meanwhile() -> None:
        with pytest.raises(CaseNotEmpty):
            await house.cases.register.delete(analyst, case.id, None, ORIGIN)

    file = await house.hand_in(analyst, case_id=case.id, meanwhile=deleted_meanwhile)
    assert await house.fetch(analyst, file.id) == CONTENT


async def test_an_upload_that_failed_keeps_no_case(house: House, analyst: Principal, case: CaseView) -> None:
    with pytest.raises(ZeroDivisionError):
        await house.hand_in(analyst, case_id=case.id, fails=ZeroDivisionError())
    await house.cases.register.delete(analyst, case.id, None, ORIGIN)


async def test_an_upload_whose_process_died_keeps_the_case_until_it_is_swept(
    house: House, analyst: Principal, case: CaseView, later: Callable[[timedelta], None]
) -> None:
    async def dies() -> None:
        await house.execute("UPDATE files SET status = 'pending'")

    file = await house.hand_in(analyst, case_id=case.id)
    await dies()
    await house.execute("UPDATE files SET lease_until = created_at")
    with pytest.raises(CaseNotEmpty):
        await house.cases.register.delete(analyst, case.id, None, ORIGIN)
    later(timedelta(minutes=5))
    assert await house.maintenance.sweep() == 1
    assert (await house.found(file.id) or file).case_id is None
    await house.cases.register.delete(analyst, case.id, None, ORIGIN)


async def remove(house: House, lead: Principal, case: CaseView, who: Principal) -> None:
    await house.cases.members.remove(lead, case.id, who.user_id, ORIGIN)


async def make_a_reader(house: House, lead: Principal, case: CaseView, who: Principal) -> None:
    await house.cases.members.set_role(lead, case.id, who.user_id, READER, ORIGIN)


async def make_an_uploader(house: House, lead: Principal, case: CaseView, who: Principal) -> None:
    await house.cases.members.set_role(lead, case.id, who.user_id, UPLOADER, ORIGIN)


async def close_it(house: House, lead: Principal, case: CaseView, _: Principal) -> None:
    await close(house, lead, case)


async def make_the_account_an_auditor(house: House, _: Principal, __: CaseView, who: Principal) -> None:
    await house.execute(f"UPDATE users SET role = 'auditor' WHERE name IN ({await name_of(house, who)!r})")  # noqa: S608


async def name_of(house: House, who: Principal) -> str:
    (name,) = [row["name"] for row in await house.rows("users") if UUID(str(row["id"])) == who.user_id]
    return str(name)


Change = Callable[[House, Principal, CaseView, Principal], Awaitable[None]]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (remove, NotFound),
        (make_a_reader, Forbidden),
        (close_it, CaseReadOnly),
        (make_the_account_an_auditor, Forbidden),
    ],
)
async def test_who_loses_the_right_while_the_bytes_flow_has_handed_in_nothing(
    house: House, analyst: Principal, case: CaseView, change: Change, error: type[PortalError]
) -> None:
    contributor = await member(house, analyst, case, CONTRIBUTOR)
    with pytest.raises(error):
        await house.hand_in(contributor, case_id=case.id, meanwhile=lambda: change(house, analyst, case, contributor))
    assert (house.store.blobs, await house.rows("blobs"), await house.statuses()) == ({}, [], ["failed"])
    (failed,) = await house.record("file.upload_failed")
    assert failed["details"] == {"reason": error.code}


@pytest.mark.parametrize(
    ("change", "error"), [(remove, NotFound), (make_an_uploader, NotFound), (make_the_account_an_auditor, Forbidden)]
)
async def test_who_loses_the_right_loses_the_running_download(
    house: House,
    analyst: Principal,
    case: CaseView,
    change: Change,
    error: type[PortalError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "_JUDGED_SECONDS", 0.0)
    file = await house.hand_in(analyst, case_id=case.id)
    reader = await member(house, analyst, case, READER)
    running = await house.deliveries.start(reader, file.id, ORIGIN)
    got = bytearray(await anext(running.chunks))
    await change(house, analyst, case, reader)
    with pytest.raises(error):
        await drink(running, got)
    assert len(got) < len(CONTENT)
    (ended,) = await house.record("file.download_ended")
    assert (ended["details"]["outcome"], ended["details"]["sent"]) == ("revoked", len(got))


async def test_closing_a_case_ends_no_download(
    house: House, analyst: Principal, case: CaseView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_JUDGED_SECONDS", 0.0)
    file = await house.hand_in(analyst, case_id=case.id)
    running = await house.deliveries.start(analyst, file.id, ORIGIN)
    got = bytearray(await anext(running.chunks))
    await close(house, analyst, case)
    await drink(running, got)
    assert got == CONTENT


@pytest.mark.parametrize("role", [READER, None])
async def test_an_upload_that_is_not_allowed_is_refused_before_a_byte_is_asked_for(
    house: House, analyst: Principal, case: CaseView, role: CaseRole | None
) -> None:
    caller = await house.principal() if role is None else await member(house, analyst, case, role)

    async def asked() -> None:
        raise AssertionError("bytes were asked for")

    for case_id in (case.id, new_id()):
        with pytest.raises(NotFound if role is None or case_id != case.id else Forbidden):
            await house.hand_in(caller, case_id=case_id, meanwhile=asked)
    assert (await house.rows("files"), house.store.blobs) == ([], {})


@pytest.mark.race
async def test_an_upload_and_the_closing_of_its_case_have_an_order_in_every_race(
    house: House, analyst: Principal
) -> None:
    for _ in range(amount("RACES")):
        case = await house.open_case(analyst)
        upload = asyncio.create_task(house.hand_in(analyst, b"x", case_id=case.id))
        await asyncio.gather(upload, close(house, analyst, case), return_exceptions=True)
        listed = await names(house, analyst, case_id=case.id)
        assert listed == ([] if isinstance(upload.exception(), CaseReadOnly) else ["evidence.bin"])


@pytest.mark.parametrize("verb", ["update", "delete", "move", "hand_in"])
async def test_a_change_waits_for_the_closing_of_its_case(
    house: House, analyst: Principal, case: CaseView, verb: str
) -> None:
    file = await house.hand_in(analyst, case_id=case.id)
    attempts: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "update": lambda: house.catalog.update(analyst, file.id, None, Changes(name="x"), ORIGIN),
        "delete": lambda: house.catalog.delete(analyst, file.id, None, ORIGIN),
        "move": lambda: house.files.mover.move(analyst, file.id, None, None, ORIGIN),
        "hand_in": lambda: house.hand_in(analyst, case_id=case.id),
    }
    async with house.database.write() as connection:
        await relations.lock_case(connection, case.id, exclusive=True)
        await connection.execute(text("UPDATE cases SET status = 'closed'"))
        attempt = asyncio.create_task(attempts[verb]())
        done, _ = await asyncio.wait([attempt], timeout=0.3)  # time enough for one that does not wait
        assert not done
    with pytest.raises(CaseReadOnly):
        await attempt
    assert await house.found(file.id) == file


@pytest.mark.race
async def test_an_upload_and_the_end_of_its_case_never_both_happen_in_every_race(
    house: House, analyst: Principal
) -> None:
    happened: set[str] = set()
    for turn in range(amount("RACES")):
        case = await house.open_case(analyst)
        attempts: list[Any] = [house.hand_in(analyst, b"x", case_id=case.id)]
        attempts.insert(turn % 2, house.cases.register.delete(analyst, case.id, None, ORIGIN))
        answers = await asyncio.gather(*attempts, return_exceptions=True)
        uploaded, deleted = any(isinstance(a, FileView) for a in answers), None in answers
        assert deleted is not uploaded
        assert all(isinstance(a, NotFound | CaseNotEmpty) for a in answers if isinstance(a, BaseException))
        happened.add("deleted" if deleted else "uploaded")
    assert happened == {"uploaded", "deleted"}


async def test_a_key_brings_the_same_file_once_and_is_bound_to_the_case(
    house: House, analyst: Principal, case: CaseView
) -> None:
    other = await house.open_case(analyst)
    file = await house.hand_in(analyst, key="k", case_id=case.id)
    assert await house.hand_in(analyst, key="k", case_id=case.id) == file
    for place in (None, other.id):
        with pytest.raises(KeyReused):
            await house.hand_in(analyst, key="k", case_id=place)
    assert len(house.store.blobs) == 1


async def test_a_key_tells_nothing_of_a_file_that_is_not_ones_own_any_more(
    house: House, analyst: Principal, case: CaseView
) -> None:
    contributor = await member(house, analyst, case, CONTRIBUTOR)
    await house.hand_in(contributor, key="k", case_id=case.id)
    await remove(house, analyst, case, contributor)
    for place in (case.id, None):
        with pytest.raises((NotFound, UploadGone)):
            await house.hand_in(contributor, key="k", case_id=place)


@pytest.mark.parametrize("edit", ["case_id = NULL", "case_id = :other", "scope = 'none'", "scope = :scope"])
async def test_a_file_that_the_database_alone_moved_opens_for_nobody_and_is_found(
    house: House, analyst: Principal, case: CaseView, edit: str
) -> None:
    thief = await house.principal()
    theirs = await house.open_case(thief)
    await house.hand_in(thief, case_id=theirs.id)  # there is a key of that scope
    file = await house.hand_in(analyst, case_id=case.id)
    values = {"other": theirs.id.hex, "scope": f"case:{theirs.id.hex}", "owner": analyst.user_id.hex}
    used = {name: value for name, value in values.items() if name == "owner" or f":{name}" in edit}
    await house.execute(f"UPDATE files SET {edit} WHERE owner_id = :owner", **used)  # noqa: S608  # columns' names
    for who in (analyst, thief):
        with pytest.raises((IntegrityError, NotFound)):
            await house.fetch(who, file.id)
    found = [checked.problem async for checked in house.maintenance.fsck() if checked.file_id == file.id]
    assert found == ["damaged"]


async def test_a_case_and_its_scope_edited_together_open_nothing_either(
    house: House, analyst: Principal, case: CaseView
) -> None:
    thief = await house.principal()
    theirs = await house.open_case(thief)
    await house.hand_in(thief, case_id=theirs.id)
    file = await house.hand_in(analyst, case_id=case.id)
    await house.execute(
        "UPDATE files SET case_id = :case, scope = :scope WHERE owner_id = :owner",
        case=theirs.id.hex,
        scope=f"case:{theirs.id.hex}",
        owner=analyst.user_id.hex,
    )
    with pytest.raises(IntegrityError):
        await house.fetch(thief, file.id)


async def test_export_fsck_and_sweep_know_files_in_cases(
    house: House, analyst: Principal, case: CaseView, later: Callable[[timedelta], None]
) -> None:
    file = await house.hand_in(analyst, case_id=case.id)
    assert [checked.problem async for checked in house.maintenance.fsck(full=True)] == [None]
    (part,) = await house.maintenance.export(file.id, actor="system:cli/x")
    assert part.length > len(CONTENT)
    await house.catalog.delete(analyst, file.id, None, ORIGIN)
    assert await house.maintenance.sweep() == 0
    assert len(house.store.blobs) == 1
    later(2 * GRACE)
    assert await house.maintenance.sweep() == 1
    assert house.store.blobs == {}
