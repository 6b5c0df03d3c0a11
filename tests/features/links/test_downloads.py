"""What a download by a link costs: once is once, and neither our failures nor a broken connection cost anything."""

import asyncio
from typing import Any

import pytest

from portal.backends.blobs.base import StoreAway
from portal.core.errors import IntegrityError, NotSignedIn
from portal.core.principal import Principal
from portal.features.links.downloads import NothingToResume
from portal.features.links.link_sessions import LinkRefused
from portal.features.links.use_rows import TIMES
from portal.features.links.views import LinkSession, LinkUsedUp
from tests.features.files.conftest import CONTENT, ORIGIN, House, flip

from .conftest import Clock, Desk
from .test_shared_access import refusal


async def broken_off(desk: Desk, session: LinkSession, file_id: Any) -> int:
    """A download whose reader leaves behind the first piece; how much that was."""
    running = await desk.begin(session, file_id)
    got = await anext(running.chunks)
    await running.chunks.aclose()
    assert 0 < len(got) < len(CONTENT)
    return len(got)


async def used(desk: Desk) -> int:
    return int((await desk.link_row())["used"])


async def test_what_fails_on_our_side_gives_the_use_back(desk: Desk, house: House, lead: Principal) -> None:
    file = await house.hand_in(lead)
    session = await desk.session(await desk.download_link(lead, file.id))
    house.store.failing["get"] = StoreAway()
    assert await refusal(desk.fetch(session, file.id)) is StoreAway
    house.store.failing.clear()
    flip(house, 100)
    assert await refusal(desk.fetch(session, file.id)) is IntegrityError
    flip(house, 100)
    assert (await used(desk), await house.rows("link_uses")) == (0, [])
    assert await desk.fetch(session, file.id) == CONTENT
    assert await used(desk) == 1
    assert await refusal(desk.fetch(session, file.id)) is LinkUsedUp


async def test_what_breaks_off_begins_again_and_ends_once(desk: Desk, house: House, lead: Principal) -> None:
    file = await house.hand_in(lead)
    made = await desk.download_link(lead, file.id)
    session = await desk.session(made)
    got = await broken_off(desk, session, file.id)
    assert await desk.fetch(session, file.id, got) == CONTENT[got:]  # all of it has gone out
    assert await refusal(desk.fetch(session, file.id)) is LinkUsedUp
    other = await desk.session(await desk.download_link(lead, file.id))
    await broken_off(desk, other, file.id)
    assert await desk.fetch(other, file.id) == CONTENT
    assert await refusal(desk.fetch(other, file.id)) is LinkUsedUp
    assert [row["used"] for row in await house.rows("links")] == [1, 1]


async def test_the_visitor_goes_on_when_the_token_is_over_and_nobody_when_it_has_ended(
    desk: Desk, house: House, lead: Principal, hands: Clock
) -> None:
    file = await house.hand_in(lead)
    made = await desk.download_link(lead, file.id)
    got = await broken_off(desk, await desk.session(made), file.id)
    hands.passes(minutes=16)
    await desk.sessions.sweep()
    second = await desk.session(made)
    assert await desk.fetch(second, file.id, got, 10) == CONTENT[got : got + 10]
    assert await desk.fetch(second, file.id) == CONTENT
    with pytest.raises(LinkRefused):
        await desk.session(made)
    assert await used(desk) == 1


async def test_a_token_that_ended_goes_on_with_what_it_began_and_no_more(
    desk: Desk, house: House, lead: Principal, hands: Clock
) -> None:
    """Also with what we believe to be finished: the end of it may be in a buffer that nobody read."""
    files = [await house.hand_in(lead) for _ in range(2)]
    made = await desk.download_link(lead, *(file.id for file in files), most=2)
    token = (await desk.sessions.redeem(made.secret, None, ORIGIN)).token
    await desk.fetch(await desk.sessions.session(token), files[0].id)
    hands.passes(minutes=16)
    await desk.sessions.sweep()
    with pytest.raises(NotSignedIn):
        await desk.sessions.session(token)
    late = await desk.sessions.session(token, late=True)
    assert await desk.fetch(late, files[0].id, 500) == CONTENT[500:]
    for file in files:
        assert await refusal(desk.fetch(late, file.id)) is NotSignedIn
    assert await refusal(desk.fetch(late, files[1].id, 500)) is NothingToResume
    assert await used(desk) == 1
    hands.passes(days=1)
    with pytest.raises(NotSignedIn):
        await desk.sessions.session(token, late=True)


async def test_while_a_download_runs_nobody_goes_on_with_its_use(desk: Desk, house: House, lead: Principal) -> None:
    file = await house.hand_in(lead)
    made = await desk.download_link(lead, file.id)
    mine, other = await desk.session(made), await desk.session(made)
    running = await desk.begin(mine, file.id)
    await anext(running.chunks)
    for session in (mine, other):
        with pytest.raises(LinkUsedUp) as told:
            await desk.begin(session, file.id)
        assert told.value.retry_after
    assert await refusal(desk.fetch(other, file.id, 10)) is NothingToResume
    await running.chunks.aclose()
    assert await desk.fetch(mine, file.id) == CONTENT
    with pytest.raises(LinkUsedUp) as told:
        await desk.begin(mine, file.id)
    assert told.value.retry_after is None


async def test_one_use_gives_no_more_than_a_few_copies_by_ranges(desk: Desk, house: House, lead: Principal) -> None:
    file = await house.hand_in(lead)
    session = await desk.session(await desk.download_link(lead, file.id))
    sent = len(await desk.fetch(session, file.id))
    for _ in range(50):
        for start, length in ((0, 1000), (1000, 24)):
            try:
                sent += len(await desk.fetch(session, file.id, start, length))
            except NothingToResume:
                continue
    assert sent == TIMES * len(CONTENT)
    gone = len(await house.record("file.download_started"))
    assert gone == len(await house.record("file.download_ended")) == 1 + 2 * (TIMES - 1)


async def test_a_process_that_dies_with_a_download_leaves_it_to_be_gone_on_with(
    desk: Desk, house: House, lead: Principal, hands: Clock
) -> None:
    file = await house.hand_in(lead)
    session = await desk.session(await desk.download_link(lead, file.id))
    running = await desk.begin(session, file.id)
    await anext(running.chunks)
    house.database.away = True  # its end cannot be written
    await running.chunks.aclose()
    house.database.away = False
    assert await refusal(desk.begin(session, file.id)) is LinkUsedUp
    hands.passes(seconds=61)
    assert await desk.fetch(session, file.id) == CONTENT
    assert await used(desk) == 1


async def test_a_use_by_which_a_part_went_out_is_not_given_back(desk: Desk, house: House, lead: Principal) -> None:
    file = await house.hand_in(lead)
    session = await desk.session(await desk.download_link(lead, file.id))
    running = await desk.begin(session, file.id)
    assert await desk.fetch(session, file.id, 1) == CONTENT[1:]
    house.store.failing["get"] = StoreAway()
    assert await refusal(anext(running.chunks)) is StoreAway  # nothing of the whole, and as good as all of the part
    house.store.failing.clear()
    assert await used(desk) == 1
    assert await desk.fetch(session, file.id) == CONTENT  # by the same use
    assert await refusal(desk.fetch(session, file.id)) is LinkUsedUp


async def test_every_file_is_given_as_often_as_the_link_says(desk: Desk, house: House, lead: Principal) -> None:
    case_id = await desk.case(lead)
    files = [await house.hand_in(lead, case_id=case_id) for _ in range(3)]
    for made in (await desk.case_link(lead, case_id), await desk.download_link(lead, *(file.id for file in files))):
        session = await desk.session(made)
        for file in files:
            assert await desk.fetch(session, file.id) == CONTENT
            assert await refusal(desk.fetch(session, file.id)) is LinkUsedUp
        offer = await desk.shared_access.offer(session, None)
        assert offer.used == {file.id: 1 for file in files}
    assert [row["used"] for row in await house.rows("links")] == [3, 3]
    with pytest.raises(LinkRefused):
        await desk.session(made)


@pytest.mark.parametrize("_round", range(3))
async def test_of_many_that_go_on_at_once_one_does(desk: Desk, house: House, lead: Principal, _round: int) -> None:
    file = await house.hand_in(lead)
    made = await desk.download_link(lead, file.id)
    sessions = [await desk.session(made) for _ in range(4)]
    await broken_off(desk, sessions[0], file.id)
    async with asyncio.timeout(60):
        ended = await asyncio.gather(*(refusal(desk.begin(sessions[n % 4], file.id)) for n in range(20)))
    assert sorted(map(str, ended)) == sorted(map(str, [None, *[LinkUsedUp] * 19]))
    assert await used(desk) == 1


async def test_of_two_files_taken_at_once_neither_is_given_twice(desk: Desk, house: House, lead: Principal) -> None:
    files = [await house.hand_in(lead, b"once") for _ in range(2)]
    for _ in range(10):
        session = await desk.session(await desk.download_link(lead, *(file.id for file in files)))
        async with asyncio.timeout(60):
            ended = await asyncio.gather(*(refusal(desk.begin(session, files[n % 2].id)) for n in range(6)))
        assert ended.count(None) == 2
        started = [event["subject"] for event in await house.record("file.download_started")]
        assert sorted(started) == sorted(str(file.id) for file in files)
        await house.execute("DELETE FROM audit")


async def test_a_download_that_began_in_time_may_end(
    desk: Desk, house: House, lead: Principal, hands: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.features.files.downloads.delivery._JUDGED_SECONDS", 0)
    file = await house.hand_in(lead)
    session = await desk.session(await desk.download_link(lead, file.id, most=2))
    running = await desk.begin(session, file.id)
    got = bytes(await anext(running.chunks))
    hands.passes(days=1, hours=1)  # a link of a day
    got += b"".join([chunk async for chunk in running.chunks])
    assert got == CONTENT
    assert await refusal(desk.begin(session, file.id)) is NotSignedIn
