"""A file gets a new key and a new blob by copy, verify, swap: nothing else changes, a failure leaves nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from portal.backends.blobs.base import StoreAway
from portal.core.errors import IntegrityError, NotFound, PortalError, StorageFull, Unavailable
from portal.core.principal import Principal
from portal.db.connection import Connection
from portal.db.lease import LEASE
from portal.db.unit_of_work import DatabaseAway
from portal.features.authz.relation import CaseStatus
from portal.features.cases.catalog import CaseChanges
from portal.features.files.blob_rows import FileMoved
from portal.features.files.catalog import Changes
from portal.features.files.reencrypt import Reencryption, Replacement
from portal.features.files.views import FileView
from portal.strongbox.model import SealedFile
from tests.reliability.amounts import amount

from .conftest import CONTENT, GRACE, MARKER, ORIGIN, House, blob_of, drink, flip

Later = Callable[[timedelta], None]
SMALL = CONTENT[:100]


async def nothing(*_: object) -> None:
    """Where nobody waits for a piece or a swap."""


ASKED = Replacement("system:test", nothing, nothing)


def meanwhile(act: Callable[[], Any]) -> Replacement:
    """Act once, when the first piece was copied."""
    left = [act]

    async def copied(_: int) -> None:
        if left:
            await left.pop()()

    return replace(ASKED, copied=copied)


async def reencrypt(house: House, file_id: UUID, asked: Replacement = ASKED) -> bool:
    return await reencryption(house).reencrypt(file_id, asked)


def reencryption(house: House, grace: timedelta = GRACE) -> Reencryption:
    return Reencryption(house.database, house.strongbox, grace=grace)


async def keys(house: House) -> dict[str, Any]:
    (row,) = [row for row in await house.rows("blobs") if row["goes_at"] is None]
    return {name: row[name] for name in ("id", "wrapped_key", "commitment", "key_generation", "content")}


async def sound(house: House) -> None:
    found = [checked async for checked in house.maintenance.fsck(full=True)]
    assert [checked.problem for checked in found if checked.problem] == []


async def going(house: House) -> list[str]:
    """The keys of blobs that have a time to go."""
    return [UUID(str(row["id"])).hex for row in await house.rows("blobs") if row["goes_at"] is not None]


async def swept(house: House, later: Later) -> None:
    """When the grace is over, each blob is a part of a file."""
    later(GRACE + timedelta(seconds=1))
    await house.maintenance.sweep()
    assert await going(house) == []
    await house.kept()


@pytest.mark.parametrize("content", [CONTENT, SMALL, b""])
async def test_a_file_has_a_new_key_and_a_new_blob_and_nothing_else_has_changed(
    house: House, analyst: Principal, later: Later, content: bytes
) -> None:
    house.announces = len(content) < len(CONTENT)
    file, before = await house.hand_in(analyst, content), await keys(house)
    assert await reencrypt(house, file.id)
    after = await keys(house)
    assert [name for name, value in after.items() if value is not None and value == before[name]] == []
    assert after["key_generation"] == 2
    now = await house.found(file.id)
    assert now is not None
    assert replace(now, record=None, data_key_id=None) == replace(file, record=None, data_key_id=None)
    assert now.record != file.record
    assert await house.fetch(analyst, file.id) == content
    (event,) = await house.record("file.reencrypted")
    assert (event["subject"], event["actor"]) == (str(file.id), "system:test")
    assert (event["details"]["size"], event["details"]["key_generation"]) == (len(content), 2)
    await sound(house)
    await swept(house, later)
    assert await house.fetch(analyst, file.id) == content
    await sound(house)


async def test_the_old_blob_stays_for_a_while_without_its_key(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    old = blob_of(house)
    assert await reencrypt(house, file.id)
    await house.maintenance.sweep()
    assert old in house.store.blobs
    (row,) = [row for row in await house.rows("blobs") if UUID(str(row["id"])).hex == old]
    assert row["wrapped_key"] is None
    await sound(house)  # no orphan: a row names it


async def test_a_reader_of_the_old_blob_goes_on_in_the_new_one(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    delivery = await house.deliveries.start(analyst, file.id, ORIGIN)
    got = bytearray(await anext(delivery.chunks))
    old = blob_of(house)
    assert await reencrypt(house, file.id)
    house.store.blobs[old] = b""  # it is gone under its reader
    await drink(delivery, got)
    assert bytes(got) == CONTENT
    (ended,) = await house.record("file.download_ended")
    assert ended["details"]["outcome"] == "finished"
    assert await house.record("file.damaged") == []


async def test_what_is_damaged_stays_as_it_is(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    flip(house, 700)
    before = await keys(house)
    with pytest.raises(IntegrityError):
        await reencrypt(house, file.id)
    assert await keys(house) == before
    assert await going(house) == []
    assert await house.kept() == 1
    flip(house, 700)
    assert await house.fetch(analyst, file.id) == CONTENT


async def test_a_plaintext_with_another_digest_is_not_taken_over(house: House, analyst: Principal) -> None:
    """The record was made anew over a wrong digest, as by somebody with the data key: the copy is refused."""
    file = await house.hand_in(analyst)
    strongbox = house.strongbox
    found = await reencryption(house)._read(file.id)
    assert found is not None
    forged = replace(found.sealed, sha256=bytes(32), record=b"")
    forged = replace(forged, record=await strongbox.record(forged))
    await house.execute("UPDATE files SET sha256 = :sha, record = :record", sha="00" * 32, record=forged.record)
    with pytest.raises(IntegrityError):
        await reencrypt(house, file.id)
    assert await house.kept() == 1


async def test_a_store_that_does_not_return_what_was_written_gets_no_file(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await house.hand_in(analyst)
    old = blob_of(house)

    recorded = house.strongbox.record

    async def flipping(sealed: SealedFile) -> bytes:
        flip(house, 700, sealed.parts[0].key)  # when the blob was just committed
        return await recorded(sealed)

    monkeypatch.setattr(house.strongbox, "record", flipping)
    with pytest.raises(StoreAway):
        await reencrypt(house, file.id)
    assert list(house.store.blobs) == [old]
    assert await going(house) == []
    assert await house.fetch(analyst, file.id) == CONTENT


@pytest.mark.parametrize("verb", ["create", "write", "commit", "committed"])
@pytest.mark.parametrize("error", [StoreAway, StorageFull])
async def test_nothing_is_left_of_a_copy_that_failed(
    house: House, analyst: Principal, verb: str, error: type[PortalError]
) -> None:
    file, before = await house.hand_in(analyst), await keys(house)
    house.store.failing[verb] = error()
    with pytest.raises(error):
        await reencrypt(house, file.id)
    house.store.failing.clear()
    assert await keys(house) == before
    assert await going(house) == []
    assert await house.kept() == 1
    assert await reencrypt(house, file.id)
    assert await house.fetch(analyst, file.id) == CONTENT


async def test_what_a_dead_process_wrote_goes_when_its_lease_is_over(
    house: House, analyst: Principal, later: Later
) -> None:
    file = await house.hand_in(analyst)
    with pytest.raises(DatabaseAway):
        await reencrypt(house, file.id, meanwhile(lambda: away(house)))
    house.database.away = False
    (key,) = await going(house)
    later(LEASE)
    await house.maintenance.sweep()
    assert await going(house) == [key]  # its process may be alive
    later(2 * LEASE + timedelta(seconds=1))
    await house.maintenance.sweep()
    assert await going(house) == []
    assert await house.kept() == 1
    assert await house.fetch(analyst, file.id) == CONTENT


async def away(house: House) -> None:
    house.database.away = True


async def test_an_answer_of_the_database_that_was_lost_loses_no_blob(
    house: House, analyst: Principal, later: Later
) -> None:
    file = await house.hand_in(analyst)

    async def lose(_connection: Connection, _file: SealedFile) -> None:
        house.database.loses_answers = True

    with pytest.raises(DatabaseAway):
        await reencrypt(house, file.id, replace(ASKED, swapped=lose))
    house.database.loses_answers = False
    assert len(await house.record("file.reencrypted")) == 1
    assert await house.fetch(analyst, file.id) == CONTENT
    await swept(house, later)
    assert await house.fetch(analyst, file.id) == CONTENT


async def test_a_swap_that_is_refused_changes_nothing(house: House, analyst: Principal) -> None:
    file, before = await house.hand_in(analyst), await keys(house)

    async def refuse(_connection: Connection, _file: SealedFile) -> None:
        raise NotFound

    with pytest.raises(NotFound):
        await reencrypt(house, file.id, replace(ASKED, swapped=refuse))
    assert await keys(house) == before
    assert await house.record("file.reencrypted") == []
    assert await house.kept() == 1


async def test_a_copy_that_a_sweep_gave_up_is_not_swapped_in(house: House, analyst: Principal, later: Later) -> None:
    file, before = await house.hand_in(analyst), await keys(house)

    async def sweep() -> None:
        later(2 * LEASE + timedelta(seconds=1))
        await house.maintenance.sweep()

    with pytest.raises(Unavailable):
        await reencrypt(house, file.id, meanwhile(sweep))
    assert await keys(house) == before
    assert await house.kept() == 1
    assert await house.fetch(analyst, file.id) == CONTENT


async def test_a_file_that_is_deleted_meanwhile_is_gone(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    old = blob_of(house)
    assert not await reencrypt(house, file.id, meanwhile(lambda: house.catalog.delete(analyst, file.id, None, ORIGIN)))
    assert list(house.store.blobs) == await going(house) == [old]  # in the grace of the delete
    assert await house.record("file.damaged") == []
    assert not await reencrypt(house, file.id)


async def test_a_file_that_is_moved_meanwhile_is_done_where_it_is(
    house: House, analyst: Principal, later: Later
) -> None:
    file, case = await house.hand_in(analyst), await house.open_case(analyst)
    move = house.files.mover.move
    assert await reencrypt(house, file.id, meanwhile(lambda: move(analyst, file.id, 1, case.id, ORIGIN)))
    (row,) = await house.rows("files")
    assert row["scope"] == f"case:{case.id.hex}"
    assert (await keys(house))["key_generation"] == 2
    await sound(house)
    await swept(house, later)
    assert await house.fetch(analyst, file.id) == CONTENT


async def test_a_move_does_not_notice_that_the_keys_were_replaced(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, case = await house.hand_in(analyst), await house.open_case(analyst)
    rewrap, left = house.strongbox.rewrap, [file.id]

    async def slow(*asked: Any) -> SealedFile:
        moved = await rewrap(*asked)
        if left:
            assert await reencrypt(house, left.pop())
        return moved

    monkeypatch.setattr(house.strongbox, "rewrap", slow)
    moved = await house.files.mover.move(analyst, file.id, 1, case.id, ORIGIN)
    assert (moved.case_id, moved.version) == (case.id, 2)
    assert await house.fetch(analyst, file.id) == CONTENT
    await sound(house)


async def test_a_change_of_the_metadata_meanwhile_stays(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    rename = house.catalog.update
    assert await reencrypt(house, file.id, meanwhile(lambda: rename(analyst, file.id, 1, Changes(name="x"), ORIGIN)))
    now = await house.found(file.id)
    assert now is not None
    assert (now.name, now.version) == ("x", 2)
    assert await house.fetch(analyst, file.id) == CONTENT


async def test_files_of_a_closed_case_and_quarantined_ones_get_new_keys_too(house: House, analyst: Principal) -> None:
    case = await house.open_case(analyst)
    files = [await house.hand_in(analyst, case_id=case.id), await house.hand_in(analyst, CONTENT + MARKER.encode())]
    await house.cases.register.update(analyst, case.id, None, CaseChanges(status=CaseStatus.CLOSED), ORIGIN)
    for file in files:
        assert await reencrypt(house, file.id)
        now = await house.found(file.id)
        assert now is not None
        assert (now.status, now.verdict) == (file.status, file.verdict)
    await sound(house)


async def test_a_case_that_is_shredded_meanwhile_gets_no_new_keys(house: House, analyst: Principal) -> None:
    case = await house.open_case(analyst)
    file = await house.hand_in(analyst, case_id=case.id)
    before = await keys(house)

    async def shred() -> None:
        await house.execute("UPDATE cases SET status = 'shredded'")

    assert not await reencrypt(house, file.id, meanwhile(shred))
    assert await keys(house) == before
    assert await house.record("file.reencrypted") == []
    assert not await reencrypt(house, file.id)


@pytest.mark.race
async def test_readers_movers_and_two_reencryptions_at_once_leave_a_whole_file_in_every_race(
    house: House, analyst: Principal, later: Later
) -> None:
    cases = [await house.open_case(analyst) for _ in range(2)]
    file = await house.hand_in(analyst)
    for turn in range(amount("RACES")):
        work = [
            reencrypt(house, file.id),
            house.files.mover.move(analyst, file.id, None, cases[turn % 2].id, ORIGIN),
            reencrypt(house, file.id),
            house.fetch(analyst, file.id),
        ]
        *answers, got = await asyncio.gather(*work, return_exceptions=True)
        assert [a for a in answers if not isinstance(a, bool | FileView | FileMoved)] == []
        assert got == CONTENT
        assert await house.fetch(analyst, file.id) == CONTENT
    assert len(await house.record("file.reencrypted")) == 2 * amount("RACES")
    assert await house.record("file.damaged") == []
    await swept(house, later)
    await sound(house)


async def test_the_end_of_the_grace_takes_no_blob_that_is_being_written(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    old = blob_of(house)

    async def make_room() -> None:
        assert await house.maintenance.end_grace(actor="system:test") == 0

    assert await reencrypt(house, file.id, meanwhile(make_room))
    assert await house.maintenance.end_grace(actor="system:test") == 1
    assert old not in house.store.blobs
    assert await house.fetch(analyst, file.id) == CONTENT
