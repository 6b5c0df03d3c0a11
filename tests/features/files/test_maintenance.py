"""Maintenance: the sweep settles what a crash left and nothing else, fsck finds all damage, an export is on record."""

import asyncio
import io
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import tink
from tink import secret_key_access, streaming_aead

from portal.backends.blobs.base import StoreAway
from portal.core import clock, tasks
from portal.core.errors import ClientGone, IntegrityError, NotFound, Unavailable
from portal.core.ids import new_id
from portal.core.principal import Principal
from portal.db.connection import Connection
from portal.db.lease import LEASE
from portal.features.audit import record
from portal.features.audit.events import Event
from portal.features.files import blob_rows, maintenance, repository
from portal.features.files.blob_rows import Waiting
from portal.features.files.maintenance import IDEMPOTENCY_KEPT, Checked
from portal.features.files.models import Status
from portal.features.files.views import FileView
from portal.strongbox.model import SealedFile
from portal.strongbox.reader import Reader

from .conftest import CONTENT, GRACE, MARKER, ORIGIN, Bytes, House, blob_of, flip, refuse_events

Later = Callable[[timedelta], None]
A_LEASE_LATER = LEASE + timedelta(seconds=1)


async def crashed(house: House, analyst: Principal, *, key: str | None = None) -> None:
    """An upload whose process died right before its last transaction: row, blob and lease stay behind."""

    async def die() -> None:
        house.database.away = True

    with pytest.raises(Unavailable):
        await house.intake.receive(analyst, Bytes(meanwhile=die), ORIGIN, idempotency_key=key)
    await tasks.drain()  # with the process ends what it would have settled itself
    house.database.away = False


async def half_deleted(house: House, analyst: Principal) -> UUID:
    """A delete whose process died when the keys were destroyed and the bytes not yet."""
    file = await house.hand_in(analyst)
    house.store.failing["delete"] = StoreAway()
    await house.at_once.delete(analyst, file.id, None, ORIGIN)
    house.store.failing.clear()
    return file.id


async def problems(house: House, *, full: bool = False) -> list[Checked]:
    return [found async for found in house.maintenance.fsck(full=full) if found.problem is not None]


async def test_a_sweep_over_nothing_settles_nothing(house: House) -> None:
    assert await house.maintenance.sweep() == 0
    assert await house.record() == []


async def test_a_sweep_leaves_settled_files_and_live_leases_alone(
    house: House, analyst: Principal, later: Later
) -> None:
    ready = await house.hand_in(analyst)
    quarantined = await house.hand_in(analyst, MARKER.encode())
    swept: list[int] = []

    async def sweep() -> None:
        swept.append(await house.maintenance.sweep())
        later(LEASE - timedelta(seconds=5))
        swept.append(await house.maintenance.sweep())

    file = await house.hand_in(analyst, meanwhile=sweep)
    assert swept == [0, 0]
    later(timedelta(days=2))
    assert await house.maintenance.sweep() == 0
    assert [await house.found(kept.id) for kept in (ready, quarantined, file)] == [ready, quarantined, file]
    assert await house.fetch(analyst, file.id) == CONTENT


async def test_a_sweep_settles_an_upload_whose_lease_ran_out(house: House, analyst: Principal, later: Later) -> None:
    await crashed(house, analyst)
    assert await house.maintenance.sweep() == 0
    later(A_LEASE_LATER)
    assert await house.maintenance.sweep() == 1
    await house.assert_nothing_is_kept("lease_expired")
    (event,) = await house.record()
    assert event["actor"] == "system:sweep"


async def test_a_sweep_may_take_live_leases_where_nothing_serves(house: House, analyst: Principal) -> None:
    await crashed(house, analyst)
    assert await house.maintenance.sweep(timedelta(0)) == 1
    await house.assert_nothing_is_kept("lease_expired")


async def test_an_age_counts_from_the_last_renewal(house: House, analyst: Principal, later: Later) -> None:
    await crashed(house, analyst)
    later(timedelta(minutes=10))
    assert await house.maintenance.sweep(timedelta(minutes=11)) == 0
    assert await house.maintenance.sweep(timedelta(minutes=9)) == 1


async def test_a_sweep_frees_the_key_of_what_it_gave_up(house: House, analyst: Principal, later: Later) -> None:
    await crashed(house, analyst, key="once")
    later(A_LEASE_LATER)
    await house.maintenance.sweep()
    assert (await house.hand_in(analyst, key="once")).status is Status.READY


async def test_a_sweep_removes_deleted_bytes_when_their_grace_is_over_and_no_day_before(
    house: House, analyst: Principal, later: Later
) -> None:
    kept, gone = await house.hand_in(analyst), await house.hand_in(analyst)
    await house.catalog.delete(analyst, gone.id, None, ORIGIN)
    later(GRACE - timedelta(minutes=1))
    assert await house.maintenance.sweep() == 0
    assert (await house.maintenance.waiting(), len(house.store.blobs)) == (Waiting(1, stored(house)), 2)
    later(GRACE + timedelta(minutes=1))
    assert await house.maintenance.sweep() == 1
    assert (await house.maintenance.waiting(), len(house.store.blobs)) == (Waiting(0, 0), 1)
    assert await house.fetch(analyst, kept.id) == CONTENT


def stored(house: House) -> int:
    """The length of a blob, which all of CONTENT have."""
    return len(next(iter(house.store.blobs.values())))


async def test_a_blob_that_waits_is_neither_missing_nor_stray(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    await house.catalog.delete(analyst, file.id, None, ORIGIN)
    assert await problems(house, full=True) == []
    assert await house.kept() == 1
    with pytest.raises(NotFound):
        await house.maintenance.export(file.id, actor="system:cli/root")


async def test_a_grace_that_is_ended_makes_room_and_is_on_record(
    house: House, analyst: Principal, later: Later
) -> None:
    kept = await house.hand_in(analyst)
    for _ in range(3):
        await house.catalog.delete(analyst, (await house.hand_in(analyst)).id, None, ORIGIN)
        later(timedelta(hours=1))
    assert await house.maintenance.end_grace(actor="system:cli/root") == 3
    assert (len(house.store.blobs), len(await house.rows("blobs"))) == (1, 1)
    assert await house.fetch(analyst, kept.id) == CONTENT
    (event,) = await house.record("file.grace_ended")
    assert (event["actor"], event["details"]) == ("system:cli/root", {"blobs": 3, "bytes": 3 * stored(house)})
    assert await house.maintenance.end_grace(actor="system:cli/root") == 0


async def test_a_grace_is_not_ended_where_it_cannot_be_put_on_record(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.catalog.delete(analyst, (await house.hand_in(analyst)).id, None, ORIGIN)
    refuse_events(monkeypatch, Unavailable(), "file.grace_ended")
    with pytest.raises(Unavailable):
        await house.maintenance.end_grace(actor="system:cli/root")
    assert await house.kept() == 1


async def test_a_sweep_ends_a_delete(house: House, analyst: Principal) -> None:
    await half_deleted(house, analyst)
    assert (await house.statuses(), len(house.store.blobs)) == (["deleted"], 1)
    assert await house.maintenance.sweep() == 1
    assert (await house.statuses(), house.store.blobs, await house.rows("blobs")) == (["deleted"], {}, [])
    assert [event["event"] for event in await house.record()] == ["file.uploaded", "file.deleted"]


async def test_a_sweep_twice_is_a_sweep_once(house: House, analyst: Principal, later: Later) -> None:
    await crashed(house, analyst)
    await half_deleted(house, analyst)
    later(A_LEASE_LATER)
    assert await house.maintenance.sweep() == 2
    before = await house.record()
    assert await house.maintenance.sweep() == 0
    assert await house.record() == before


async def test_several_sweeps_at_once_settle_each_file_once(house: House, analyst: Principal, later: Later) -> None:
    for _ in range(3):
        await crashed(house, analyst)
    await half_deleted(house, analyst)
    later(A_LEASE_LATER)
    await asyncio.gather(*(house.maintenance.sweep() for _ in range(4)))
    assert await house.statuses() == ["deleted", "failed", "failed", "failed"]
    assert (house.store.blobs, await house.rows("blobs")) == ({}, [])
    assert len(await house.record("file.upload_failed")) == 3


async def test_a_sweep_goes_on_over_many_pages(
    house: House, analyst: Principal, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_PAGE", 2)
    for _ in range(5):
        await crashed(house, analyst)
    later(A_LEASE_LATER)
    assert await house.maintenance.sweep() == 5
    assert house.store.blobs == {}


async def test_a_sweep_with_the_store_away_is_taken_up_again(house: House, analyst: Principal, later: Later) -> None:
    await crashed(house, analyst)
    later(A_LEASE_LATER)
    house.store.failing["delete"] = StoreAway()
    assert await house.maintenance.sweep() == 0
    house.store.failing.clear()
    assert await house.maintenance.sweep() == 1
    await house.assert_nothing_is_kept("lease_expired")


async def test_a_file_that_cannot_be_settled_keeps_no_other_waiting(
    house: House, analyst: Principal, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_PAGE", 2)
    for _ in range(5):
        await crashed(house, analyst)
    later(A_LEASE_LATER)
    stuck = sorted(house.store.blobs)[:3]
    house.store.stubborn.update(stuck)
    assert await house.maintenance.sweep() == 2
    assert sorted(house.store.blobs) == stuck
    house.store.stubborn.clear()
    assert await house.maintenance.sweep() == 3
    assert (house.store.blobs, await house.rows("blobs")) == ({}, [])


async def test_a_sweep_settles_nothing_that_it_cannot_put_on_record(
    house: House, analyst: Principal, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_connection: Connection, _event: Event) -> None:
        raise Unavailable

    await crashed(house, analyst)
    later(A_LEASE_LATER)
    with monkeypatch.context() as away:
        away.setattr(record, "write", refuse)
        assert await house.maintenance.sweep() == 0
    assert (await house.statuses(), len(house.store.blobs)) == (["pending"], 1)


async def test_a_sweep_that_comes_too_late_leaves_the_file_alone(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def list_now_and_settle_later() -> None:
        async with house.database.read() as connection:
            (seen,) = await repository.unsettled(connection, clock.now() + LEASE, None, 10)

        async def unsettled(*_: Any) -> list[FileView]:
            return [seen]

        monkeypatch.setattr(repository, "unsettled", unsettled)

    file = await house.hand_in(analyst, meanwhile=list_now_and_settle_later)
    await house.maintenance.sweep()
    assert await house.fetch(analyst, file.id) == CONTENT
    assert await house.record("file.upload_failed") == []


async def test_a_lease_renewed_while_a_sweep_goes_on_is_a_live_one(
    house: House, analyst: Principal, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    await crashed(house, analyst)
    real = repository.unsettled

    async def renewed_right_after(connection: Connection, *arguments: Any) -> list[FileView]:
        files = await real(connection, *arguments)
        async with house.database.write() as another:
            assert await repository.renew_lease(another, files[0].id, clock.now() + LEASE)
        return files

    later(A_LEASE_LATER)
    with monkeypatch.context() as patched:
        patched.setattr(repository, "unsettled", renewed_right_after)
        assert await house.maintenance.sweep() == 0
    assert await house.statuses() == ["pending"]
    assert await house.record() == []


async def test_what_another_sweep_settled_is_not_counted_twice(
    house: House, analyst: Principal, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    await crashed(house, analyst)
    later(A_LEASE_LATER)
    counts, real = [], repository.unsettled

    async def while_another_settles(*arguments: Any) -> list[FileView]:
        found = await real(*arguments)
        monkeypatch.setattr(repository, "unsettled", real)
        counts.append(await house.maintenance.sweep())
        return found

    monkeypatch.setattr(repository, "unsettled", while_another_settles)
    counts.append(await house.maintenance.sweep())
    assert counts == [1, 0]


async def test_idempotency_keys_are_kept_for_a_day(house: House, analyst: Principal, later: Later) -> None:
    first = await house.hand_in(analyst, key="once")
    later(IDEMPOTENCY_KEPT - timedelta(seconds=5))
    await house.maintenance.sweep()
    assert (await house.hand_in(analyst, key="once")).id == first.id
    later(IDEMPOTENCY_KEPT + timedelta(seconds=5))
    await house.maintenance.sweep()
    assert (await house.hand_in(analyst, key="once")).id != first.id


async def test_fsck_over_nothing_finds_nothing(house: House) -> None:
    assert [found async for found in house.maintenance.fsck(full=True)] == []
    assert await house.maintenance.count() == 0


@pytest.mark.parametrize("full", [False, True])
async def test_fsck_looks_at_every_listed_file(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    monkeypatch.setattr(maintenance, "_PAGE", 2)
    contents = [b"", b"x", CONTENT, MARKER.encode(), CONTENT]
    files = [await house.hand_in(analyst, content) for content in contents]
    with pytest.raises(ClientGone):
        await house.hand_in(analyst, fails=ClientGone())
    found = [item async for item in house.maintenance.fsck(full=full)]
    assert [item.file_id for item in found] == sorted(file.id for file in files)
    assert {item.problem for item in found} == {None}
    assert sum(item.bytes_read for item in found) == (sum(map(len, contents)) if full else 0)
    assert await house.maintenance.count() == 5
    assert await house.record("file.damaged") == []


async def test_a_sample_reads_some_files_whole(house: House, analyst: Principal) -> None:
    for _ in range(3):
        await house.hand_in(analyst)
    everything = [item.bytes_read async for item in house.maintenance.fsck(sample=1.0)]
    assert everything == [len(CONTENT)] * 3
    assert [item.bytes_read async for item in house.maintenance.fsck(sample=0.0)] == [0] * 3


async def test_any_flipped_bit_is_found_by_reading_everything(house: House, analyst: Principal) -> None:
    places = [0, 20, 90, 100, 128, 130, 200, 600, -1]
    for place in places:
        file = await house.hand_in(analyst, name=str(place))
        (row,) = [row for row in await house.rows("blobs") if UUID(str(row["file_id"])) == file.id]
        flip(house, place, UUID(str(row["id"])).hex)
    assert await problems(house) == []
    found = await problems(house, full=True)
    assert {(item.name, item.problem) for item in found} == {(str(place), "damaged") for place in places}


async def lose(house: House) -> None:
    house.store.blobs.clear()


async def shorten(house: House) -> None:
    house.store.blobs[blob_of(house)] = house.store.blobs[blob_of(house)][:-1]


async def lengthen(house: House) -> None:
    house.store.blobs[blob_of(house)] += b"x"


async def empty(house: House) -> None:
    house.store.blobs[blob_of(house)] = b""


@pytest.mark.parametrize("damage", [lose, shorten, lengthen, empty], ids=lambda verb: verb.__name__)
async def test_a_blob_of_another_length_is_always_found_and_on_record(
    house: House, analyst: Principal, damage: Callable[[House], Any]
) -> None:
    file = await house.hand_in(analyst)
    await damage(house)
    (found,) = await problems(house)
    assert (found.file_id, found.problem) == (file.id, "damaged")
    (event,) = await house.record("file.damaged")
    assert (event["actor"], event["subject"]) == ("system:fsck", str(file.id))


EDITS = {
    "size": "files SET size = size + 1",
    "size, less": "files SET size = 0",
    "size, negative": "files SET size = -1",
    "size, none": "files SET size = NULL",
    "digest": "files SET sha256 = :digest",
    "digest, short": "files SET sha256 = 'abcd'",
    "digest, not hex": "files SET sha256 = 'no hex at all'",
    "digest, none": "files SET sha256 = NULL",
    "record": "files SET record = :bytes",
    "record, empty": "files SET record = :empty",
    "record, none": "files SET record = NULL",
    "scope": "files SET scope = :scope",
    "scope, empty": "files SET scope = ''",
    "data key": "files SET data_key_id = :other",
    "data key, none": "files SET data_key_id = NULL",
    "commitment": "blobs SET commitment = :bytes",
    "commitment, empty": "blobs SET commitment = :empty",
    "commitment, none": "blobs SET commitment = NULL",
    "wrapped key": "blobs SET wrapped_key = :bytes",
    "wrapped key, empty": "blobs SET wrapped_key = :empty",
    "wrapped key, none": "blobs SET wrapped_key = NULL",
    "the blob's data key": "blobs SET data_key_id = :other",
    "the blob's data key, none": "blobs SET data_key_id = NULL",
    "plain length": "blobs SET plain_length = plain_length + 1",
    "plain length, negative": "blobs SET plain_length = -1",
    "plain length, none": "blobs SET plain_length = NULL",
    "stored length": "blobs SET stored_length = stored_length - 1",
    "stored length, none": "blobs SET stored_length = NULL",
    "part": "blobs SET part = 1",
    "part, negative": "blobs SET part = -1",
    "part, too high": "blobs SET part = 10000",
    "generation": "blobs SET key_generation = 2",
    "generation, zero": "blobs SET key_generation = 0",
    "blob": "blobs SET id = :other",
    "file of the blob": "blobs SET file_id = :file_of_another",
}
ANOTHER_PART = """
    INSERT INTO blobs (id, file_id, part, key_generation, store, data_key_id, wrapped_key, commitment, plain_length,
    stored_length) SELECT :other, file_id, 1, key_generation, store, data_key_id, wrapped_key, commitment,
    plain_length, stored_length FROM blobs WHERE file_id = :file
"""


async def edit(house: House, file_id: UUID, statement: str, another: UUID) -> None:
    def written(given: UUID) -> UUID | str:  # SQLite keeps ids as 32 hex digits
        return given.hex if house.database.engine.dialect.name == "sqlite" else given

    values = {
        "file": written(file_id),
        "file_of_another": written(another),
        "other": written(new_id()),
        "bytes": bytes(range(33)),
        "empty": b"",
        "digest": "ab" * 32,
        "scope": f"case:{new_id().hex}",
    }
    used = {name: value for name, value in values.items() if re.search(rf":{name}\b", statement)}
    await house.execute(statement, **used)


async def test_every_edited_row_is_found_and_opens_for_nobody(house: House, analyst: Principal) -> None:
    intact, deleted = await house.hand_in(analyst, name="intact"), await house.hand_in(analyst, name="deleted")
    await house.catalog.delete(analyst, deleted.id, None, ORIGIN)
    edited = {name: await house.hand_in(analyst, name=name) for name in [*EDITS, "a part more", "no part"]}
    for name, assignment in EDITS.items():
        where = "id" if assignment.startswith("files") else "file_id"
        await edit(house, edited[name].id, f"UPDATE {assignment} WHERE {where} = :file", deleted.id)
    await edit(house, edited["a part more"].id, ANOTHER_PART, deleted.id)
    await edit(house, edited["no part"].id, "DELETE FROM blobs WHERE file_id = :file", deleted.id)
    found = {item.name: item.problem async for item in house.maintenance.fsck() if item.file_id is not None}
    assert found == {"intact": None} | dict.fromkeys(edited, "damaged")
    assert {event["subject"] for event in await house.record("file.damaged")} == {str(f.id) for f in edited.values()}
    for file in edited.values():
        with pytest.raises(IntegrityError):
            await house.fetch(analyst, file.id)
    assert await house.fetch(analyst, intact.id) == CONTENT


async def test_a_kind_that_is_none_is_found_and_hides_no_other(house: House, analyst: Principal) -> None:
    files = [await house.hand_in(analyst, name=str(number)) for number in range(3)]
    await edit(house, files[1].id, "UPDATE files SET kind = 'nonsense' WHERE id = :file", files[0].id)
    found = {item.file_id: item.problem async for item in house.maintenance.fsck()}
    assert found == {files[0].id: None, files[1].id: "damaged", files[2].id: None}
    with pytest.raises(IntegrityError):
        await house.fetch(analyst, files[1].id)


OF_ANOTHER_TYPE = [
    "files SET size = 'many'",
    "files SET record = 'text of a kind'",
    "files SET name = x'00'",
    "files SET created_at = 'yesterday'",
    "files SET data_key_id = 'no id'",
    "blobs SET data_key_id = 'no id'",
    "blobs SET part = 'first'",
    "blobs SET plain_length = 1.5",
    "blobs SET commitment = '0123456789abcdef0123456789abcdef'",
]


@pytest.mark.parametrize("change", OF_ANOTHER_TYPE)
async def test_a_value_of_another_type_is_damage_and_hides_no_other(
    house: House, analyst: Principal, change: str
) -> None:
    if house.database.engine.dialect.name != "sqlite":
        return  # Postgres takes no such value
    files = [await house.hand_in(analyst, name=str(number)) for number in range(3)]
    where = "id" if change.startswith("files") else "file_id"
    await edit(house, files[1].id, f"UPDATE {change} WHERE {where} = :file", files[0].id)
    found = {item.file_id: item.problem async for item in house.maintenance.fsck(full=True)}
    assert found == {files[0].id: None, files[1].id: "damaged", files[2].id: None}
    with pytest.raises(IntegrityError):
        await house.fetch(analyst, files[1].id)


FREE = [
    "name = 'another'",
    "description = 'x'",
    "kind = 'log'",
    "version = 9",
    "declared_type = 'a/b'",
    "verdict = NULL",
]


async def test_what_is_not_sealed_may_be_edited(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    await house.execute(f"UPDATE files SET {', '.join(FREE)}")  # noqa: S608  # the list above
    assert await problems(house, full=True) == []


async def test_files_whose_blobs_or_keys_were_swapped_are_found(house: House, analyst: Principal) -> None:
    one, two = await house.hand_in(analyst, b"one"), await house.hand_in(analyst, b"two")
    first, second = house.store.blobs
    house.store.blobs[first], house.store.blobs[second] = house.store.blobs[second], house.store.blobs[first]
    assert {item.file_id for item in await problems(house, full=True)} == {one.id, two.id}


async def test_one_damaged_file_hides_no_other(house: House, analyst: Principal) -> None:
    files = [await house.hand_in(analyst) for _ in range(3)]
    del house.store.blobs[sorted(house.store.blobs)[1]]
    found = [item async for item in house.maintenance.fsck(full=True)]
    assert len(found) == len(files)
    assert [item.problem for item in found].count("damaged") == 1


@pytest.mark.parametrize(("verb", "full"), [("stat", False), ("get", True)])
async def test_a_store_that_is_away_is_no_damage(house: House, analyst: Principal, verb: str, *, full: bool) -> None:
    await house.hand_in(analyst)
    house.store.failing[verb] = StoreAway()
    (found,) = await problems(house, full=full)
    assert found.problem == "not checked: blob_store_away"
    assert await house.record("file.damaged") == []


async def test_a_key_that_the_provider_does_not_give_is_no_damage(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.keyring.keyring.ROW_SECONDS", 0)
    file = await house.hand_in(analyst)
    await house.execute("UPDATE data_keys SET wrapped = :bytes", bytes=bytes(101))
    (found,) = await problems(house)
    assert (found.file_id, found.problem) == (file.id, "not checked: key_provider_away")
    assert await house.record("file.damaged") == []


async def test_an_orphan_is_named_and_left_alone(house: House, analyst: Principal) -> None:
    await house.hand_in(analyst)
    orphan = new_id().hex
    house.store.blobs[orphan] = b"whose?"
    (found,) = await problems(house)
    assert (found.file_id, found.name) == (None, orphan)
    assert orphan in house.store.blobs
    assert await house.record("file.damaged") == []


async def test_a_blob_deleted_while_fsck_looks_is_no_orphan(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await house.hand_in(analyst)
    real = blob_rows.blob_known

    async def known(connection: Connection, blob_id: UUID) -> bool:
        house.store.blobs.clear()
        return not await real(connection, blob_id)

    monkeypatch.setattr(blob_rows, "blob_known", known)
    assert await problems(house) == []
    assert file.listed


async def test_a_blob_just_being_written_is_no_orphan(house: House, analyst: Principal) -> None:
    await crashed(house, analyst)
    assert len(house.store.blobs) == 1
    assert await problems(house) == []


async def test_a_file_deleted_while_fsck_looks_is_no_damage(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await house.hand_in(analyst)
    real = house.strongbox.open

    async def opened(sealed: SealedFile) -> Reader:
        reader = await real(sealed)
        await house.catalog.delete(analyst, file.id, None, ORIGIN)
        return reader

    monkeypatch.setattr(house.strongbox, "open", opened)
    assert await problems(house, full=True) == []
    assert await house.record("file.damaged") == []


def tink_opens(stream: bytes, keyset: str, associated_data: bytes) -> bytes:
    streaming_aead.register()
    primitive = tink.json_proto_keyset_format.parse(keyset, secret_key_access.TOKEN).primitive(
        streaming_aead.StreamingAead
    )
    with primitive.new_decrypting_stream(io.BytesIO(stream), associated_data) as plain:
        return bytes(plain.read())


@pytest.mark.parametrize("content", [b"", CONTENT, MARKER.encode()], ids=["empty", "ready", "quarantined"])
async def test_an_export_opens_with_tink_and_is_on_record(house: House, analyst: Principal, content: bytes) -> None:
    file = await house.hand_in(analyst, content)
    (part,) = await house.maintenance.export(file.id, actor="system:cli/root")
    stream = b"".join([piece async for piece in part.stream()])
    assert len(stream) == part.length
    assert tink_opens(stream, part.keyset, part.associated_data) == content
    (event,) = await house.record("file.exported")
    assert (event["actor"], event["subject"]) == ("system:cli/root", str(file.id))


async def test_an_export_of_a_damaged_file_gives_no_key(house: House, analyst: Principal) -> None:
    file = await house.hand_in(analyst)
    flip(house, -1)
    with pytest.raises(IntegrityError):
        await house.maintenance.export(file.id, actor="system:cli/root")


async def test_what_is_not_listed_is_not_exported(house: House, analyst: Principal) -> None:
    deleted = await half_deleted(house, analyst)
    for file_id in (new_id(), deleted):
        with pytest.raises(NotFound):
            await house.maintenance.export(file_id, actor="system:cli/root")
    assert await house.record("file.exported") == []


async def test_an_export_that_cannot_be_put_on_record_does_not_happen(
    house: House, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await house.hand_in(analyst)

    async def refuse(_connection: Connection, _event: Event) -> None:
        raise Unavailable

    with monkeypatch.context() as away:
        away.setattr(record, "write", refuse)
        with pytest.raises(Unavailable):
            await house.maintenance.export(file.id, actor="system:cli/root")
    assert await house.record("file.exported") == []
