"""Transfers at once: a caller and a worker have so many, and what is small needs no place."""

import asyncio
from contextlib import ExitStack, suppress
from datetime import timedelta

import pytest

from portal.core import clock
from portal.core.ids import new_id
from portal.core.principal import CredentialKind, Principal, Role
from portal.db.unit_of_work import DatabaseAway
from portal.features.files.downloads import delivery
from portal.features.files.maintenance import FAILED_KEPT
from portal.features.files.transfers import TooManyTransfers, Transfers, WorkerBusy
from portal.features.files.uploads.attempt import DigestMismatch

from .conftest import CONTENT, ORIGIN, Bytes, House


def caller(**who: object) -> Principal:
    return Principal(**{"actor": "x", "role": Role.ANALYST, "user_id": new_id(), "credential_id": new_id(), **who})  # type: ignore[arg-type]


def take_all(held: ExitStack, transfers: Transfers, one: Principal) -> None:
    with suppress(TooManyTransfers, WorkerBusy):
        while True:
            held.enter_context(transfers.place(one))


def test_an_account_has_its_places_however_it_is_signed_in_and_gives_them_back() -> None:
    transfers, user_id = Transfers(2, 3), new_id()
    first, second = caller(user_id=user_id), caller(user_id=user_id, kind=CredentialKind.TOKEN)
    with transfers.place(first), transfers.place(second):
        for one in (first, second):
            with pytest.raises(TooManyTransfers) as told, transfers.place(one):
                pytest.fail("a third place")
            assert told.value.retry_after
        with transfers.place(caller()):
            with pytest.raises(WorkerBusy) as busy, transfers.place(caller()):
                pytest.fail("a fourth place")
            assert busy.value.retry_after
    with transfers.place(first), transfers.place(first), transfers.place(caller()):
        pass
    assert transfers._of == {}


def test_a_link_has_places_of_its_own() -> None:
    transfers, maker = Transfers(1, 9), new_id()
    links = [caller(user_id=maker, kind=CredentialKind.LINK) for _ in range(2)]
    account = transfers.place(caller(user_id=maker))
    with account, transfers.place(links[0]), transfers.place(links[1]), pytest.raises(TooManyTransfers):
        transfers.require(links[0])


def test_nobody_takes_the_places_of_everybody_else() -> None:
    """Neither an account with its links, nor a few accounts together."""
    transfers, maker = Transfers(8, 16), new_id()
    account = caller(user_id=maker)
    links = [caller(user_id=maker, kind=CredentialKind.LINK) for _ in range(20)]
    with ExitStack() as held:
        for one in (account, *links):
            take_all(held, transfers, one)
        held.enter_context(transfers.place(caller()))
    with ExitStack() as held:
        for one in [caller() for _ in range(3)]:
            take_all(held, transfers, one)
        held.enter_context(transfers.place(caller()))
    assert transfers._of == transfers._by_links_of == {}


async def test_uploads_and_downloads_beyond_it_begin_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SMALL", 0)
    transfers, one = Transfers(1, 9), await house.principal()
    house.intake._transfers = house.deliveries._transfers = transfers
    file = await house.hand_in(one)
    running = await house.deliveries.start(one, file.id, ORIGIN)
    await anext(running.chunks)
    with pytest.raises(TooManyTransfers):
        await house.hand_in(one)
    with pytest.raises(TooManyTransfers):
        await house.fetch(one, file.id)
    assert len(await house.rows("files")) == 1
    assert len(await house.record("file.download_started")) == 1
    await house.hand_in(one, content_length=len(CONTENT))  # lies in its row
    await house.hand_in(await house.principal())
    await running.chunks.aclose()
    assert await house.fetch(one, file.id) == CONTENT
    with pytest.raises(DigestMismatch):
        await house.hand_in(one, fails=DigestMismatch())
    assert transfers._of == {}


async def test_of_many_at_once_as_many_run_as_may(house: House) -> None:
    one = await house.principal()
    house.intake._transfers = Transfers(3, 9)

    async def pause() -> None:
        await asyncio.sleep(0.1)

    sending = (house.intake.receive(one, Bytes(meanwhile=pause), ORIGIN) for _ in range(8))
    ended = await asyncio.gather(*sending, return_exceptions=True)
    assert [type(error) for error in ended if isinstance(error, Exception)] == [TooManyTransfers] * 5
    assert await house.statuses() == ["ready"] * 3


async def test_a_download_that_nobody_could_judge_again_ends(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_JUDGED_SECONDS", 0)
    one = await house.principal()
    file = await house.hand_in(one)
    running = await house.deliveries.start(one, file.id, ORIGIN)
    await anext(running.chunks)
    house.database.unreadable = True
    await anext(running.chunks)  # for a minute it goes on
    monkeypatch.setattr(delivery, "_UNJUDGED_SECONDS", 0)
    with pytest.raises(DatabaseAway):
        await anext(running.chunks)
    house.database.unreadable = False
    (ended,) = await house.record("file.download_ended")
    assert ended["details"]["outcome"] == "broken"
    assert await house.fetch(one, file.id) == CONTENT


async def test_rows_of_failed_uploads_go_after_days(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await house.principal()
    await house.hand_in(one)
    for content_length in (None, len(CONTENT)):
        with pytest.raises(DigestMismatch):
            await house.hand_in(one, fails=DigestMismatch(), content_length=content_length)
    await house.maintenance.sweep()
    assert await house.statuses() == ["failed", "failed", "ready"]
    later = clock.now() + FAILED_KEPT + timedelta(minutes=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    await house.maintenance.sweep()
    assert await house.statuses() == ["ready"]
    assert len(await house.record("file.upload_failed")) == 2
