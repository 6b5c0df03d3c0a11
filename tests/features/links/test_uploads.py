"""Room for files by a link: reserved when one begins, given back where it fails, and one answer that was lost."""

import asyncio

import pytest

from portal.backends.blobs.base import StoreAway
from portal.core.errors import NotSignedIn
from portal.core.principal import Principal
from portal.features.files.uploads.attempt import DigestMismatch, KeyReused
from portal.features.links import uploads
from portal.features.links.views import LinkUsedUp
from tests.features.files.conftest import CONTENT, ORIGIN, Bytes, House

from .conftest import WHOLE, Clock, Desk
from .test_shared_access import refusal


async def test_a_use_and_its_bytes_are_taken_when_an_upload_begins(desk: Desk, lead: Principal) -> None:
    session = await desk.session(await desk.upload_link(lead, most=2, most_bytes=2000))

    async def another() -> None:
        row = await desk.link_row()
        assert (row["used"], row["used_bytes"]) == (1, 1500)
        with pytest.raises(LinkUsedUp) as told:
            await desk.send(session, b"x" * 600, content_length=600)
        assert told.value.retry_after
        await desk.send(session, b"x" * 500, content_length=500)

    await desk.send(session, b"x" * 1500, content_length=1500, meanwhile=another)
    row = await desk.link_row()
    assert (row["used"], row["used_bytes"], row["failed_uploads"]) == (2, 2000, 0)


@pytest.mark.parametrize("content_length", [None, len(CONTENT)])
async def test_what_fails_gives_back_and_what_failed_too_often_ends(
    desk: Desk, house: House, lead: Principal, content_length: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "FAILURES", 2)
    session = await desk.session(await desk.upload_link(lead, most_bytes=5000))
    for verb in ("create", "commit"):
        house.store.failing = {verb: StoreAway()}
        if content_length is None:
            assert await refusal(desk.send(session)) is StoreAway
    house.store.failing = {}
    with pytest.raises(asyncio.CancelledError):  # a stop of the portal
        await desk.send(session, fails=asyncio.CancelledError(), content_length=content_length)
    for _ in range(3):
        assert (
            await refusal(desk.send(session, fails=DigestMismatch(), content_length=content_length)) is DigestMismatch
        )
        row = await desk.link_row()
        assert (row["used"], row["used_bytes"]) == (0, 0)
    assert (await desk.link_row())["failed_uploads"] == 3
    before = len(await house.rows("files"))
    assert await refusal(desk.send(session, content_length=content_length)) is LinkUsedUp
    assert len(await house.rows("files")) == before


@pytest.mark.parametrize("content_length", [None, len(CONTENT)])
async def test_a_lost_answer_is_asked_for_again_though_the_link_is_used_up(
    desk: Desk, house: House, lead: Principal, content_length: int | None
) -> None:
    made = await desk.upload_link(lead, most_bytes=len(CONTENT) + 1)
    session = await desk.session(made)
    file = await desk.send(session, key="one", content_length=content_length)
    for again in (session, await desk.session(made)):
        assert (await desk.send(again, key="one", content_length=content_length)).id == file.id
    assert (
        await refusal(desk.send(session, b"another", key="one", content_length=7 if content_length else None))
        is KeyReused
    )
    for key in ("two", None):
        assert await refusal(desk.send(session, b"", key=key, content_length=0)) is LinkUsedUp
    assert await house.statuses() == ["ready"]
    assert (await desk.link_row())["used"] == 1
    assert len(await house.record("file.uploaded")) == 1


async def test_a_key_is_a_links_own(desk: Desk, house: House, lead: Principal) -> None:
    mine = await house.hand_in(lead, key="one")
    sent = [await desk.send(await desk.session(await desk.upload_link(lead)), key="one") for _ in range(2)]
    assert len({mine.id, *(file.id for file in sent)}) == 3


async def test_a_visitor_sees_what_came_by_this_token(desk: Desk, house: House, lead: Principal) -> None:
    made = await desk.upload_link(lead, most=3)
    first, second = await desk.session(made), await desk.session(made)
    file = await desk.send(first)
    assert await refusal(desk.send(first, fails=DigestMismatch())) is DigestMismatch
    other = await desk.send(second)
    for session, seen in ((first, file), (second, other), (await desk.session(made), None)):
        received = (await desk.shared_access.offer(session, None)).received
        assert [file.id for file in received] == ([] if seen is None else [seen.id])
    await house.catalog.delete(lead, file.id, None, ORIGIN)
    assert (await desk.shared_access.offer(first, None)).received == []


async def test_what_a_dead_process_had_is_given_back_and_one_that_lives_is_counted_all_the_same(
    desk: Desk, house: House, lead: Principal, hands: Clock
) -> None:
    made = await desk.upload_link(lead, most_bytes=5000)
    session = await desk.session(made)
    async with desk.shared_access.upload_slot(session, 1000, WHOLE) as box:
        await desk.sessions.sweep()
        assert (await desk.link_row())["used"] == 1
        hands.passes(seconds=61)
        await desk.sessions.sweep()
        row = await desk.link_row()
        assert (row["used"], row["used_bytes"], row["failed_uploads"]) == (0, 0, 0)
        await house.intake.receive(session.principal, Bytes(), ORIGIN, counted=box.counted)
    row = await desk.link_row()
    assert (row["used"], row["used_bytes"]) == (1, len(CONTENT))
    assert [row["state"] for row in await house.rows("link_uses")] == ["done"]


async def test_an_upload_that_began_in_time_may_end(desk: Desk, house: House, lead: Principal) -> None:
    session = await desk.session(await desk.upload_link(lead))

    async def over() -> None:
        await house.execute("UPDATE links SET expires_at = created_at")

    await desk.send(session, meanwhile=over)
    assert await house.statuses() == ["ready"]
    assert await refusal(desk.send(session)) is NotSignedIn


async def test_of_many_at_once_no_byte_is_taken_beyond_what_the_link_takes(
    desk: Desk, house: House, lead: Principal
) -> None:
    session = await desk.session(await desk.upload_link(lead, most=3, most_bytes=250))
    async with asyncio.timeout(60):
        await asyncio.gather(*(refusal(desk.send(session, b"x" * 100, content_length=100)) for _ in range(20)))
    row = await desk.link_row()
    assert (row["used"], row["used_bytes"]) == (2, 200)
    assert (await house.statuses()).count("ready") == 2
    assert len(await house.rows("files")) == 2  # the others began nothing
