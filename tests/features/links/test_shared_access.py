"""What a link's holder gets: what was offered, as often as it was offered, and not a byte beside it."""

import asyncio
from typing import Any

import pytest

from portal.core.errors import NotFound, NotSignedIn, PortalError
from portal.core.ids import new_id
from portal.core.principal import Principal
from portal.features.authz.relation import CaseRole, CaseStatus, Tlp
from portal.features.files.downloads import delivery
from portal.features.files.models import FileKind
from portal.features.files.uploads.attempt import DigestMismatch
from portal.features.links.downloads import NothingToResume
from portal.features.links.views import KindRefused, LinkSession, LinkUsedUp
from tests.features.files.conftest import CONTENT, MARKER, ORIGIN, House
from tests.reliability.amounts import amount

from .conftest import Desk

FIFTY = 50


async def refusal(work: Any) -> type[PortalError] | None:
    try:
        await work
    except PortalError as error:
        return type(error)
    return None


async def test_a_link_offers_its_files_and_nothing_beside_them(desk: Desk, house: House, lead: Principal) -> None:
    case_id = await desk.case(lead)
    chosen, other = [await house.hand_in(lead, case_id=case_id) for _ in range(2)]
    elsewhere = await house.hand_in(lead)
    session = await desk.session(await desk.download_link(lead, chosen.id, most=5))
    assert [file.id for file in (await desk.shared_access.offer(session, None)).files] == [chosen.id]
    assert await desk.fetch(session, chosen.id) == CONTENT
    for file_id in (other.id, elsewhere.id, new_id()):
        assert await refusal(desk.fetch(session, file_id)) is NotFound
    assert (await desk.link_row())["used"] == 1


async def test_a_link_to_a_case_offers_what_lies_in_it_when_it_is_asked(
    desk: Desk, house: House, lead: Principal
) -> None:
    case_id, another = await desk.case(lead), await desk.case(lead)
    session = await desk.session(await desk.case_link(lead, case_id, most=5))
    assert (await desk.shared_access.offer(session, None)).files == []
    inside = await house.hand_in(lead, case_id=case_id)
    outside = [await house.hand_in(lead, case_id=place) for place in (another, None)]
    await house.hand_in(lead, MARKER.encode(), case_id=case_id)  # quarantined
    assert [file.id for file in (await desk.shared_access.offer(session, None)).files] == [inside.id]
    assert await desk.fetch(session, inside.id) == CONTENT
    for file in outside:
        assert await refusal(desk.fetch(session, file.id)) is NotFound


async def test_what_was_moved_or_deleted_is_offered_no_more(desk: Desk, house: House, lead: Principal) -> None:
    case_id, another = await desk.case(lead), await desk.case(lead)
    files = [await house.hand_in(lead, case_id=case_id) for _ in range(3)]
    session = await desk.session(await desk.download_link(lead, *(file.id for file in files), most=5))
    await house.files.mover.move(lead, files[0].id, None, another, ORIGIN)
    await house.catalog.delete(lead, files[1].id, None, ORIGIN)
    assert [file.id for file in (await desk.shared_access.offer(session, None)).files] == [files[2].id]
    for file in files[:2]:
        assert await refusal(desk.fetch(session, file.id)) is NotFound


async def test_a_link_to_an_inbox_does_not_follow_a_file_into_a_case(desk: Desk, house: House, lead: Principal) -> None:
    file = await house.hand_in(lead)
    session = await desk.session(await desk.download_link(lead, file.id))
    await house.files.mover.move(lead, file.id, None, await desk.case(lead), ORIGIN)
    assert await refusal(desk.fetch(session, file.id)) is NotFound
    assert (await desk.shared_access.offer(session, None)).files == []


async def test_one_whole_download_is_one_use_and_describing_is_none(desk: Desk, house: House, lead: Principal) -> None:
    file = await house.hand_in(lead)
    made = await desk.download_link(lead, file.id, most=2)
    session = await desk.session(made)
    for _ in range(3):
        await desk.shared_access.offer(session, None)
        await house.deliveries.describe(session.principal, file.id)
    assert (await desk.link_row())["used"] == 0
    for _ in range(2):
        assert await desk.fetch(session, file.id) == CONTENT
    assert await refusal(desk.fetch(session, file.id)) is LinkUsedUp
    started = await house.record("file.download_started")
    assert [event["actor"] for event in started] == [f"link:{made.link.id}"] * 2


async def test_a_range_goes_on_with_a_download_that_was_counted_and_with_no_other(
    desk: Desk, house: House, lead: Principal
) -> None:
    file, other = await house.hand_in(lead), await house.hand_in(lead)
    made = await desk.download_link(lead, file.id, other.id, most=1)
    first, second = await desk.session(made), await desk.session(made)
    assert await refusal(desk.fetch(first, file.id, 0, 10)) is NothingToResume
    assert await refusal(desk.fetch(first, file.id, 1)) is NothingToResume
    assert await house.record("file.download_started") == []
    assert await desk.fetch(first, file.id) == CONTENT
    assert await desk.fetch(first, file.id, 500) == CONTENT[500:]
    assert await refusal(desk.fetch(second, file.id, 500)) is NothingToResume
    assert await refusal(desk.fetch(first, other.id, 500)) is NothingToResume
    assert (await desk.link_row())["used"] == 1


@pytest.mark.race
async def test_a_link_for_one_download_gives_one_of_fifty(desk: Desk, house: House, lead: Principal) -> None:
    """Rounds of fifty at once over one file."""
    file = await house.hand_in(lead, b"once")
    for _ in range(amount("RACES")):
        made = await desk.download_link(lead, file.id)
        sessions = [await desk.session(made) for _ in range(2)]
        async with asyncio.timeout(60):
            ended = await asyncio.gather(*(refusal(desk.begin(sessions[n % 2], file.id)) for n in range(FIFTY)))
        assert ended.count(None) == 1
        assert ended.count(LinkUsedUp) == FIFTY - 1
        assert len(await house.record("file.download_started")) == 1
        await house.execute("DELETE FROM audit")


@pytest.mark.race
async def test_of_uploads_at_once_as_many_stand_as_the_link_takes(desk: Desk, house: House, lead: Principal) -> None:
    for _ in range(amount("RACES")):
        session = await desk.session(await desk.upload_link(lead, most=2))
        async with asyncio.timeout(60):
            ended = await asyncio.gather(*(refusal(desk.send(session, b"five at once")) for _ in range(5)))
        assert sorted(map(str, ended)) == sorted(map(str, [None, None, *[LinkUsedUp] * 3]))
    assert (await house.statuses()).count("ready") == 2 * amount("RACES")
    assert len(house.store.blobs) == 2 * amount("RACES")


async def test_what_comes_in_is_in_the_case_and_says_by_which_link(desk: Desk, house: House, lead: Principal) -> None:
    case_id = await desk.case(lead)
    made = await desk.upload_link(lead, case_id)
    file = await desk.send(await desk.session(made), kind=FileKind.LOG)
    assert (file.case_id, file.owner_id, file.uploaded_by) == (case_id, lead.user_id, f"link:{made.link.id}")
    assert await house.fetch(lead, file.id) == CONTENT
    (event,) = await house.record("file.uploaded")
    assert (event["actor"], event["details"]["case_id"]) == (f"link:{made.link.id}", str(case_id))
    assert (await house.hand_in(lead)).uploaded_by == lead.actor


async def test_an_upload_link_shows_nothing_and_the_client_cannot_say_where(
    desk: Desk, house: House, lead: Principal
) -> None:
    case_id = await desk.case(lead)
    session = await desk.session(await desk.upload_link(lead, most=5))
    file = await desk.send(session, case_id=case_id)
    assert file.case_id is None
    assert (await desk.shared_access.offer(session, None)).files == []
    assert await refusal(desk.shared_access.require_offered(session, file.id)) is NotFound
    again = await desk.send(session)
    assert again.id != file.id
    assert (await house.statuses()).count("ready") == 2


async def test_bytes_and_kinds_are_counted_and_what_is_too_much_is_not_kept(
    desk: Desk, house: House, lead: Principal
) -> None:
    made = await desk.upload_link(lead, most=5, most_bytes=100, kinds=frozenset({FileKind.LOG}))
    session = await desk.session(made)
    assert await refusal(desk.send(session, b"x" * 60)) is KindRefused
    assert await refusal(desk.send(session, b"x" * 101, FileKind.LOG)) is LinkUsedUp
    await desk.send(session, b"x" * 60, FileKind.LOG)
    assert await refusal(desk.send(session, b"x" * 41, FileKind.LOG)) is LinkUsedUp
    row = await desk.link_row()
    assert (row["used"], row["used_bytes"]) == (1, 60)
    assert session.link.remaining_bytes(1_000) == 100
    assert (await desk.session(made)).link.remaining_bytes(1_000) == 40
    await desk.send(session, b"x" * 40, FileKind.LOG)
    assert len(house.store.blobs) == 2
    with pytest.raises(LinkUsedUp):
        await desk.send((await used_up(desk, session)), b"", FileKind.LOG)


async def used_up(desk: Desk, session: LinkSession) -> LinkSession:
    """The same visit as its link is now."""
    async with desk.house.database.read() as connection:
        principal = await desk.sessions.reauthenticate(connection, session.principal)
    (link,) = (await desk.links.list(principal, None, 1)).items
    return LinkSession(link, session.session_id, principal)


async def test_a_small_file_by_a_link_lies_in_its_row_and_is_counted(desk: Desk, house: House, lead: Principal) -> None:
    session = await desk.session(await desk.upload_link(lead, most=1))
    await desk.send(session, content_length=len(CONTENT))
    assert [row["store"] for row in await house.rows("blobs")] == ["row"]
    with pytest.raises(LinkUsedUp):
        await desk.send(session, content_length=len(CONTENT))
    assert len(await house.rows("blobs")) == 1


async def test_an_upload_that_failed_is_not_counted(desk: Desk, house: House, lead: Principal) -> None:
    session = await desk.session(await desk.upload_link(lead))
    assert await refusal(desk.send(session, fails=DigestMismatch())) is DigestMismatch
    assert (await desk.link_row())["used"] == 0
    await desk.send(session)
    assert await house.statuses() == ["failed", "ready"]


async def test_a_link_that_ends_while_a_file_comes_in_takes_nothing(desk: Desk, house: House, lead: Principal) -> None:
    case_id = await desk.case(lead)
    made = await desk.upload_link(lead, case_id, most=9)
    session = await desk.session(made)

    async def close() -> None:
        await desk.change(lead, case_id, status=CaseStatus.CLOSED)

    async def revoke() -> None:
        await desk.links.revoke(lead, made.link.id, ORIGIN)

    for end in (close, revoke):
        assert await refusal(desk.send(session, meanwhile=end)) is NotSignedIn
        assert house.store.blobs == {}
        await desk.change(lead, case_id, status=CaseStatus.OPEN)
    assert (await desk.link_row())["used"] == 0


@pytest.mark.parametrize("end", ["revoked", "reddened", "removed"])
async def test_what_ends_takes_a_running_download_with_it(
    desk: Desk, house: House, lead: Principal, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_JUDGED_SECONDS", 0)
    case_id = await desk.case(lead)
    maker = await house.principal()
    await desk.joins(lead, case_id, maker, CaseRole.LEAD)
    file = await house.hand_in(lead, case_id=case_id)
    made = await desk.download_link(maker, file.id)
    running = await desk.begin(await desk.session(made), file.id)
    got = await anext(running.chunks)
    match end:
        case "revoked":
            await desk.links.revoke(lead, made.link.id, ORIGIN)
        case "reddened":
            await desk.change(lead, case_id, tlp=Tlp.RED)
        case _:
            await desk.members.remove(lead, case_id, maker.user_id, ORIGIN)
    with pytest.raises(NotSignedIn):
        await anext(running.chunks)
    (ended,) = await house.record("file.download_ended")
    assert ended["details"]["outcome"] == "revoked"
    assert ended["details"]["sent"] == len(got) < len(CONTENT)


@pytest.mark.race
async def test_a_revocation_and_a_use_at_once_leave_no_use_behind_it(desk: Desk, house: House, lead: Principal) -> None:
    file = await house.hand_in(lead, b"once")
    for _ in range(amount("RACES")):
        made = await desk.download_link(lead, file.id)
        session = await desk.session(made)
        async with asyncio.timeout(60):
            begun, _ = await asyncio.gather(
                refusal(desk.begin(session, file.id)), desk.links.revoke(lead, made.link.id, ORIGIN)
            )
        assert begun in {None, NotSignedIn, LinkUsedUp}
        record = [event["event"] for event in await house.record("file.download_started", "link.revoked")]
        assert record in (["link.revoked"], ["file.download_started", "link.revoked"])
        assert (begun is None) == (len(record) == 2)
        await house.execute("DELETE FROM audit")
