"""Room for files by a link: reserved when one begins, given back where it fails, and one answer that was lost."""

import asyncio

import pytest

from portal.backends.blobs.base import StoreAway
from portal.core.errors import DigestMismatch, NotSignedIn
from portal.core.principal import Principal
from portal.features.files.upload import KeyReused
from portal.features.links import uploads
from portal.features.links.views import LinkUsedUp
from tests.features.files.conftest import CONTENT, ORIGIN, Bytes, House

from .conftest import WHOLE, Clock, Desk
from .test_sharing import refusal


async def test_a_use_and_its_bytes_are_taken_when_an_upload_begins(desk: Desk, lead: Principal) -> None:
    visit = await desk.visit(await desk.upload_link(lead, most=2, most_bytes=2000))

    async def another() -> None:
        row = await desk.link_row()
        assert (row["used"], row["used_bytes"]) == (1, 1500)
        with pytest.raises(LinkUsedUp) as told:
            await desk.send(visit, b"x" * 600, announced=600)
        assert told.value.retry_after
        await desk.send(visit, b"x" * 500, announced=500)

    await desk.send(visit, b"x" * 1500, announced=1500, meanwhile=another)
    row = await desk.link_row()
    assert (row["used"], row["used_bytes"], row["failed_uploads"]) == (2, 2000, 0)


@pytest.mark.parametrize("announced", [None, len(CONTENT)])
async def test_what_fails_gives_back_and_what_failed_too_often_ends(
    desk: Desk, house: House, lead: Principal, announced: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "FAILURES", 2)
    visit = await desk.visit(await desk.upload_link(lead, most_bytes=5000))
    for verb in ("create", "commit"):
        house.store.failing = {verb: StoreAway()}
        if announced is None:
            assert await refusal(desk.send(visit)) is StoreAway
    house.store.failing = {}
    for _ in range(3):
        assert await refusal(desk.send(visit, fails=DigestMismatch(), announced=announced)) is DigestMismatch
        row = await desk.link_row()
        assert (row["used"], row["used_bytes"]) == (0, 0)
    assert (await desk.link_row())["failed_uploads"] == 3
    before = len(await house.rows("files"))
    assert await refusal(desk.send(visit, announced=announced)) is LinkUsedUp
    assert len(await house.rows("files")) == before


@pytest.mark.parametrize("announced", [None, len(CONTENT)])
async def test_a_lost_answer_is_asked_for_again_though_the_link_is_used_up(
    desk: Desk, house: House, lead: Principal, announced: int | None
) -> None:
    made = await desk.upload_link(lead, most_bytes=len(CONTENT) + 1)
    visit = await desk.visit(made)
    file = await desk.send(visit, key="one", announced=announced)
    for again in (visit, await desk.visit(made)):
        assert (await desk.send(again, key="one", announced=announced)).id == file.id
    assert await refusal(desk.send(visit, b"another", key="one", announced=7 if announced else None)) is KeyReused
    for key in ("two", None):
        assert await refusal(desk.send(visit, b"", key=key, announced=0)) is LinkUsedUp
    assert await house.statuses() == ["ready"]
    assert (await desk.link_row())["used"] == 1
    assert len(await house.record("file.uploaded")) == 1


async def test_a_key_is_a_links_own(desk: Desk, house: House, lead: Principal) -> None:
    mine = await house.hand_in(lead, key="one")
    sent = [await desk.send(await desk.visit(await desk.upload_link(lead)), key="one") for _ in range(2)]
    assert len({mine.id, *(file.id for file in sent)}) == 3


async def test_a_visitor_sees_what_came_by_this_token(desk: Desk, house: House, lead: Principal) -> None:
    made = await desk.upload_link(lead, most=3)
    first, second = await desk.visit(made), await desk.visit(made)
    file = await desk.send(first)
    assert await refusal(desk.send(first, fails=DigestMismatch())) is DigestMismatch
    other = await desk.send(second)
    for visit, seen in ((first, file), (second, other), (await desk.visit(made), None)):
        received = (await desk.sharing.offer(visit, None)).received
        assert [file.id for file in received] == ([] if seen is None else [seen.id])
    await house.catalog.delete(lead, file.id, None, ORIGIN)
    assert (await desk.sharing.offer(first, None)).received == []


async def test_what_a_dead_process_had_is_given_back_and_one_that_lives_is_counted_all_the_same(
    desk: Desk, house: House, lead: Principal, hands: Clock
) -> None:
    made = await desk.upload_link(lead, most_bytes=5000)
    visit = await desk.visit(made)
    async with desk.sharing.box(visit, 1000, WHOLE) as box:
        await desk.visits.sweep()
        assert (await desk.link_row())["used"] == 1
        hands.passes(seconds=61)
        await desk.visits.sweep()
        row = await desk.link_row()
        assert (row["used"], row["used_bytes"], row["failed_uploads"]) == (0, 0, 0)
        await house.intake.take_in(visit.principal, Bytes(), ORIGIN, counted=box.counted)
    row = await desk.link_row()
    assert (row["used"], row["used_bytes"]) == (1, len(CONTENT))
    assert [row["state"] for row in await house.rows("link_uses")] == ["done"]


async def test_an_upload_that_began_in_time_may_end(desk: Desk, house: House, lead: Principal) -> None:
    visit = await desk.visit(await desk.upload_link(lead))

    async def over() -> None:
        await house.execute("UPDATE links SET expires_at = created_at")

    await desk.send(visit, meanwhile=over)
    assert await house.statuses() == ["ready"]
    assert await refusal(desk.send(visit)) is NotSignedIn


async def test_of_many_at_once_no_byte_is_taken_beyond_what_the_link_takes(
    desk: Desk, house: House, lead: Principal
) -> None:
    visit = await desk.visit(await desk.upload_link(lead, most=3, most_bytes=250))
    async with asyncio.timeout(60):
        await asyncio.gather(*(refusal(desk.send(visit, b"x" * 100, announced=100)) for _ in range(20)))
    row = await desk.link_row()
    assert (row["used"], row["used_bytes"]) == (2, 200)
    assert (await house.statuses()).count("ready") == 2
    assert len(await house.rows("files")) == 2  # the others began nothing
