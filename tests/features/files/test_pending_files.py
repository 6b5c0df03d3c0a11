"""Right tests for what the files services do not do yet: each fails until `src` is mended."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from portal.core.errors import DigestMismatch, IntegrityError
from portal.core.principal import Principal
from portal.features.files.intake import UploadLost
from portal.features.files.names import download_name
from portal.features.files.repository import Filters
from portal.features.files.views import Details

from .conftest import ORIGIN, House, whole


async def test_an_upload_that_a_sweep_took_leaves_no_blob(house: House, analyst: Principal) -> None:
    async def sweep() -> None:
        assert await house.maintenance.sweep(timedelta(0)) == 1

    with pytest.raises(UploadLost):
        await house.hand_in(analyst, meanwhile=sweep)
    await house.assert_nothing_is_kept("lease_expired")


EDITS = {
    "digest, not hex": "UPDATE files SET sha256 = 'no hex at all'",
    "no commitment": "UPDATE blobs SET commitment = NULL",
    "no plain length": "UPDATE blobs SET plain_length = NULL",
}


@pytest.mark.parametrize("statement", EDITS.values(), ids=EDITS)
async def test_a_row_edited_to_nonsense_is_found_by_fsck(house: House, analyst: Principal, statement: str) -> None:
    file = await house.hand_in(analyst)
    await house.execute(statement)
    assert [(item.file_id, item.problem) async for item in house.maintenance.fsck()] == [(file.id, "damaged")]


@pytest.mark.parametrize("statement", EDITS.values(), ids=EDITS)
async def test_a_row_edited_to_nonsense_is_damage_for_a_download(
    house: House, analyst: Principal, statement: str
) -> None:
    file = await house.hand_in(analyst)
    await house.execute(statement)
    with pytest.raises(IntegrityError):
        await house.fetch(analyst, file.id)


async def test_a_bug_in_the_middle_is_not_recorded_as_the_clients_leave(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    delivery = await house.deliveries.start(analyst, file.id, ORIGIN, whole)
    await anext(delivery.chunks)
    house.store.failing["get"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await drain(delivery.chunks)
    (ended,) = await house.record("file.download_ended")
    assert ended["details"]["outcome"] == "broken"


async def drain(chunks: Any) -> None:
    async for _ in chunks:
        await asyncio.sleep(0)


async def test_a_repeated_upload_announcing_another_digest_is_refused(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst, key="once")
    with pytest.raises(DigestMismatch):
        await house.hand_in(analyst, key="once", said=Details(sha256=bytes(32)))


async def test_a_part_of_a_name_is_found_whatever_its_case(house: House, analyst: Principal) -> None:
    if house.database.engine.dialect.name == "postgresql":
        pytest.xfail("only the embedded database")
    await house.hand_in(analyst, name="Ärger.txt")
    page = await house.catalog.list(analyst, Filters(name="ärger"), None, 10)
    assert [file.name for file in page.items] == ["Ärger.txt"]


HUGE = "x" + "\u0301" * 1000


@pytest.mark.parametrize(
    "name",
    [f"CON{HUGE}.txt", f"{HUGE}.txt", "a" * 254 + " " + "b" * 9, "a" * 254 + "..." + "b" * 99],
    ids=["a device", "a hidden file", "a space at the end", "a dot at the end"],
)
def test_a_cut_name_is_as_safe_as_a_short_one(name: str) -> None:
    offered = download_name(name)
    assert download_name(offered) == offered
    assert offered[0] != "."
    assert offered[-1] not in ". "
