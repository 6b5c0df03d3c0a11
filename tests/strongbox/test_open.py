"""Opening: ranges are slices, and whatever is not exactly what was sealed is refused before a wrong byte leaves."""

import gc
import weakref
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from hashlib import sha256
from itertools import accumulate, islice, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from portal.backends.blobs import memory as memory_module
from portal.backends.blobs.base import ByteSpan, StoreAway, T
from portal.backends.blobs.memory import MemoryStore
from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.local import LocalKeyProvider
from portal.backends.scanners.none import NoScanner
from portal.core.errors import IntegrityError
from portal.core.ids import new_id
from portal.crypto.blob import plain_length
from portal.db.unit_of_work import Database
from portal.keyring.keyring import Keyring
from portal.keyring.models import DataKeyRow
from portal.stores.stores import Stores
from portal.strongbox.model import SealedFile
from portal.strongbox.reader import Reader
from portal.strongbox.rooms import Rooms
from portal.strongbox.strongbox import Strongbox

from .sealing import (
    CASE,
    LAYOUT,
    OTHER_CASE,
    THREE_SEGMENTS,
    LyingStore,
    damaged,
    deliver,
    deliver_reader,
    flips,
    read,
    recipe,
    seal_file,
    seal_part,
    with_part,
)

WHOLE = recipe(THREE_SEGMENTS)
HEAD, SEGMENT_1, SEGMENT_2 = 128, 128 + 256, 128 + 512
Blobs = dict[str, bytes]


@pytest.fixture(autouse=True)
def runs_of_two_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store in memory gives two segments in one piece, as the local store does in production."""
    monkeypatch.setattr(memory_module, "_PIECE", 2 * LAYOUT.segment)


async def read_reader(reader: Reader, start: int, length: int) -> bytes:
    return b"".join([piece async for piece in reader.read(start, length)])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), lengths=st.lists(st.integers(1, 500), min_size=1, max_size=4))
async def test_a_range_is_a_slice_of_any_file_of_any_parts(
    memory_box: Strongbox, data: st.DataObject, lengths: list[int]
) -> None:
    parts = [recipe(length, seed) for seed, length in enumerate(lengths)]
    whole = b"".join(parts)
    reader = await memory_box.open(await seal_file(memory_box, *parts))
    for _ in range(20):
        start = data.draw(st.integers(0, len(whole)))
        length = data.draw(st.integers(0, len(whole) - start))
        assert await read_reader(reader, start, length) == whole[start : start + length]


async def test_every_range_around_every_boundary_is_a_slice(memory_box: Strongbox) -> None:
    reader = await memory_box.open(await seal_file(memory_box, WHOLE))
    edges = sorted({0, 1, 199, 200, 201, 439, 440, 441, 446, 447})
    for start in edges:
        for end in (edge for edge in edges if edge >= start):
            assert await read_reader(reader, start, end - start) == WHOLE[start:end]


async def test_ranges_come_from_either_store(box: Strongbox) -> None:
    file = await seal_file(box, recipe(300), recipe(THREE_SEGMENTS, 1))
    whole = recipe(300) + recipe(THREE_SEGMENTS, 1)
    for start, length in ((0, len(whole)), (0, 1), (250, 100), (299, 2), (300, 200), (len(whole) - 1, 1)):
        assert await read(box, file, start, length) == whole[start : start + length]


async def test_the_empty_file(box: Strongbox) -> None:
    file = await seal_file(box, b"")
    assert await read(box, file) == b""


async def test_the_empty_file_is_verified_too(memory_box: Strongbox, memory: MemoryStore) -> None:
    file = await seal_file(memory_box, b"")
    reader = await memory_box.open(file)
    key, blob = file.parts[0].key, memory.blobs[file.parts[0].key]
    for at in range(len(blob)):
        memory.blobs[key] = damaged(blob, at)
        assert not (await deliver_reader(reader, 0, 0)).whole
    memory.blobs[key] = blob
    assert (await deliver_reader(reader, 0, 0)).whole


@pytest.mark.parametrize(("start", "length"), [(-1, 1), (0, THREE_SEGMENTS + 1), (THREE_SEGMENTS, 1), (5, -1), (-2, 1)])
async def test_a_range_outside_the_file_is_a_bug(memory_box: Strongbox, start: int, length: int) -> None:
    file = await seal_file(memory_box, WHOLE)
    with pytest.raises(RuntimeError):
        await read(memory_box, file, start, length)


async def test_the_segments_that_were_read_at_once_are_one_piece(memory_box: Strongbox) -> None:
    reader = await memory_box.open(await seal_file(memory_box, WHOLE))
    assert [len(piece) async for piece in reader.read(0, THREE_SEGMENTS)] == [200 + 240, 7]


async def test_every_flipped_bit_is_refused_and_no_wrong_byte_leaves(
    memory_box: Strongbox, memory: MemoryStore
) -> None:
    file = await seal_file(memory_box, WHOLE)
    reader = await memory_box.open(file)
    key, blob = file.parts[0].key, memory.blobs[file.parts[0].key]
    for flipped in flips(blob):
        memory.blobs[key] = flipped
        delivered = await deliver_reader(reader, 0, THREE_SEGMENTS)
        assert not delivered.whole
        assert WHOLE.startswith(delivered.plain)
    memory.blobs[key] = blob
    assert await read(memory_box, file) == WHOLE


async def test_a_flipped_bit_in_head_or_last_segment_stops_every_range(
    memory_box: Strongbox, memory: MemoryStore
) -> None:
    file = await seal_file(memory_box, WHOLE)
    reader = await memory_box.open(file)
    key, blob = file.parts[0].key, memory.blobs[file.parts[0].key]
    for at in [*range(HEAD + 40), *range(SEGMENT_2, len(blob))]:
        memory.blobs[key] = damaged(blob, at)
        for start, length in ((0, 1), (200, 240), (0, THREE_SEGMENTS), (THREE_SEGMENTS - 1, 1)):
            delivered = await deliver_reader(reader, start, length)
            assert not delivered.whole
            assert delivered.plain == b"" or (start, length, delivered.plain) == (0, THREE_SEGMENTS, WHOLE[:440])


async def test_damage_elsewhere_leaves_a_range_readable(memory_box: Strongbox, memory: MemoryStore) -> None:
    file = await seal_file(memory_box, WHOLE)
    key, blob = file.parts[0].key, memory.blobs[file.parts[0].key]
    memory.blobs[key] = damaged(blob, SEGMENT_1 + 5)
    assert await read(memory_box, file, 0, 200) == WHOLE[:200]
    delivered = await deliver(memory_box, file, 199, 2)
    assert (delivered.whole, delivered.plain) == (False, b"")


@pytest.mark.parametrize(("segment", "reached"), [(0, 0), (1, 0), (2, 440), (3, 440)])
async def test_nothing_leaves_of_a_run_before_all_of_it_was_verified(
    memory_box: Strongbox, memory: MemoryStore, segment: int, reached: int
) -> None:
    whole = recipe(200 + 240 + 240 + 50)
    file = await seal_file(memory_box, whole)
    key = file.parts[0].key
    memory.blobs[key] = damaged(memory.blobs[key], HEAD + 256 * segment + 50)
    delivered = await deliver(memory_box, file)
    assert (delivered.whole, delivered.plain) == (False, whole[:reached])


async def test_every_truncation_is_refused_and_no_wrong_byte_leaves(keyring: Keyring) -> None:
    store = LyingStore()
    box = Strongbox(Stores([store]), keyring, [NoScanner()], LAYOUT)
    file = await seal_file(box, WHOLE)
    reader = await box.open(file)
    key, blob = file.parts[0].key, store.blobs[file.parts[0].key]
    for claimed in (file.parts[0].stored_length, None):
        for cut in range(len(blob)):
            store.blobs[key] = blob[:cut]
            store.claimed = {} if claimed is None else {key: claimed}
            delivered = await deliver_reader(reader, 0, THREE_SEGMENTS)
            assert not delivered.whole
            assert delivered.plain in {b"", WHOLE[:200], WHOLE[:440]}
            assert claimed or not delivered.plain
            assert (await deliver_reader(reader, 0, 1)).plain == b""


@pytest.mark.parametrize("extra", [b"\0", bytes(16), bytes(256), WHOLE])
@pytest.mark.parametrize("length", [0, 447, 440, 680])
async def test_trailing_bytes_are_refused(
    memory_box: Strongbox, memory: MemoryStore, length: int, extra: bytes
) -> None:
    file = await seal_file(memory_box, recipe(length))
    part = file.parts[0]
    memory.blobs[part.key] += extra
    assert not (await deliver(memory_box, file)).whole
    edited = with_part(file, replace(part, stored_length=part.stored_length + len(extra)))
    delivered = await deliver(memory_box, edited)
    assert (delivered.whole, delivered.plain) == (False, b"")


async def test_segments_reordered_or_repeated_are_refused(memory_box: Strongbox, memory: MemoryStore) -> None:
    file = await seal_file(memory_box, recipe(200 + 240 * 3))
    key, blob = file.parts[0].key, memory.blobs[file.parts[0].key]
    start, segments = blob[: HEAD + 256], [blob[at : at + 256] for at in range(HEAD + 256, len(blob), 256)]
    one, two, three = segments
    for order in ([two, one, three], [one, one, three], [one, three, two], [two, two, two], [one, two, two]):
        memory.blobs[key] = start + b"".join(order)
        delivered = await deliver(memory_box, file)
        assert not delivered.whole
        assert recipe(920).startswith(delivered.plain)
    memory.blobs[key] = start + one + two + three
    assert (await deliver(memory_box, file)).whole


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
async def test_a_range_at_the_start_proves_the_end_first(
    memory_box: Strongbox, memory: MemoryStore, damage: str
) -> None:
    file = await seal_file(memory_box, WHOLE)
    key = file.parts[0].key
    blob = memory.blobs[key]
    memory.blobs[key] = {"flipped": damaged(blob), "cut": blob[:SEGMENT_2], "gone": b""}[damage]
    for length in (1, 200, 440):
        assert (await deliver(memory_box, file, 0, length)).plain == b""


async def test_a_full_read_holds_the_last_segment_back_until_everything_before_it_was_verified(
    memory_box: Strongbox, memory: MemoryStore
) -> None:
    parts = [recipe(THREE_SEGMENTS, seed) for seed in range(3)]
    file = await seal_file(memory_box, *parts)
    for number, reached in ((0, 440), (1, 447 + 440), (2, 2 * 447 + 440)):
        key = file.parts[number].key
        whole = memory.blobs[key]
        memory.blobs[key] = damaged(whole)
        delivered = await deliver(memory_box, file)
        assert (delivered.whole, delivered.plain) == (False, b"".join(parts)[:reached])
        memory.blobs[key] = whole
    assert (await deliver(memory_box, file)).whole


async def test_a_range_proves_the_end_of_each_part_it_touches(memory_box: Strongbox, memory: MemoryStore) -> None:
    parts = [recipe(THREE_SEGMENTS, seed) for seed in range(3)]
    file, whole = await seal_file(memory_box, *parts), b"".join(parts)
    key = file.parts[1].key
    memory.blobs[key] = damaged(memory.blobs[key])
    assert await read(memory_box, file, 0, THREE_SEGMENTS) == parts[0]
    assert await read(memory_box, file, 2 * THREE_SEGMENTS, THREE_SEGMENTS) == parts[2]
    delivered = await deliver(memory_box, file, THREE_SEGMENTS - 5, 10)
    assert (delivered.whole, delivered.plain) == (False, whole[THREE_SEGMENTS - 5 : THREE_SEGMENTS])


async def test_a_reader_stays_at_its_end_after_an_alarm(memory_box: Strongbox, memory: MemoryStore) -> None:
    file = await seal_file(memory_box, WHOLE)
    reader = await memory_box.open(file)
    key = file.parts[0].key
    memory.blobs[key] = damaged(memory.blobs[key])
    pieces = reader.read(0, THREE_SEGMENTS)
    assert await anext(pieces) == WHOLE[:440]
    with pytest.raises(IntegrityError):
        await anext(pieces)
    assert await anext(pieces, b"nothing more") == b"nothing more"


# What someone can do who writes to the database, to the store, or to both: (ours, theirs) -> what the rows say then.
Edit = Callable[[SealedFile, SealedFile, Blobs], SealedFile]


def take_their_blob(ours: SealedFile, theirs: SealedFile, blobs: Blobs) -> SealedFile:
    blobs[ours.parts[0].key] = blobs[theirs.parts[0].key]
    return ours


def take_their_wrapped_key(ours: SealedFile, theirs: SealedFile, _: Blobs) -> SealedFile:
    return with_part(ours, replace(ours.parts[0], wrapped_key=theirs.parts[0].wrapped_key))


def take_their_commitment(ours: SealedFile, theirs: SealedFile, _: Blobs) -> SealedFile:
    return with_part(ours, replace(ours.parts[0], commitment=theirs.parts[0].commitment))


def take_their_blob_and_wrapped_key(ours: SealedFile, theirs: SealedFile, blobs: Blobs) -> SealedFile:
    return take_their_wrapped_key(take_their_blob(ours, theirs, blobs), theirs, blobs)


def take_their_blob_key_and_commitment(ours: SealedFile, theirs: SealedFile, blobs: Blobs) -> SealedFile:
    return take_their_commitment(take_their_blob_and_wrapped_key(ours, theirs, blobs), theirs, blobs)


def take_their_blob_id(ours: SealedFile, theirs: SealedFile, _: Blobs) -> SealedFile:
    mine = ours.parts[0]
    return with_part(ours, replace(mine, context=replace(mine.context, blob_id=theirs.parts[0].context.blob_id)))


def take_their_part(ours: SealedFile, theirs: SealedFile, _: Blobs) -> SealedFile:
    return with_part(ours, theirs.parts[0])


def take_their_part_and_digest(ours: SealedFile, theirs: SealedFile, _: Blobs) -> SealedFile:
    return replace(ours, parts=theirs.parts, sha256=theirs.sha256)


def take_their_record(ours: SealedFile, theirs: SealedFile, _: Blobs) -> SealedFile:
    return replace(ours, record=theirs.record)


def take_everything_but_the_name(ours: SealedFile, theirs: SealedFile, _: Blobs) -> SealedFile:
    return replace(theirs, file_id=ours.file_id)


def name_another_file(ours: SealedFile, theirs: SealedFile, _: Blobs) -> SealedFile:
    mine = ours.parts[0]
    return with_part(ours, replace(mine, context=replace(mine.context, file_id=theirs.file_id)))


def name_another_part(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return with_part(ours, replace(ours.parts[0], context=replace(ours.parts[0].context, part=1)))


def name_another_generation(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return with_part(ours, replace(ours.parts[0], context=replace(ours.parts[0].context, key_generation=2)))


def name_another_size(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return replace(ours, size=ours.size - 1)


def name_a_shorter_part(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    part = replace(ours.parts[0], plain_length=ours.size - 1, stored_length=ours.parts[0].stored_length - 1)
    return replace(with_part(ours, part), size=ours.size - 1)


def cut_to_two_segments(ours: SealedFile, _: SealedFile, blobs: Blobs) -> SealedFile:
    part = ours.parts[0]
    blobs[part.key] = blobs[part.key][:SEGMENT_2]
    part = replace(part, stored_length=SEGMENT_2, plain_length=plain_length(LAYOUT, SEGMENT_2))
    return replace(with_part(ours, part), size=part.plain_length)


def name_another_digest(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return replace(ours, sha256=sha256(b"other").digest())


def name_a_short_digest(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return replace(ours, sha256=ours.sha256[:31])


def name_another_plain_length(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return with_part(ours, replace(ours.parts[0], plain_length=ours.size + 1))


def name_a_negative_length(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return replace(with_part(ours, replace(ours.parts[0], plain_length=-1)), size=-1)


def name_another_stored_length(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return with_part(ours, replace(ours.parts[0], stored_length=ours.parts[0].stored_length + 1))


def name_an_enormous_length(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return replace(with_part(ours, replace(ours.parts[0], plain_length=1 << 63)), size=1 << 63)


def name_no_parts(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return replace(ours, parts=(), size=0)


def name_the_part_twice(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return replace(ours, parts=ours.parts * 2, size=ours.size * 2)


def name_no_data_key(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return replace(ours, data_key_id=new_id())


def name_no_data_key_for_the_part(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return with_part(ours, replace(ours.parts[0], data_key_id=new_id()))


def move_to_another_case(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return replace(ours, scope=OTHER_CASE)


def move_out_of_its_case(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return replace(ours, scope="none")


def name_a_scope_that_is_none(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return replace(ours, scope=ours.scope.upper())


def lose_the_record(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return replace(ours, record=b"")


def cut_the_wrapped_key(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return with_part(ours, replace(ours.parts[0], wrapped_key=ours.parts[0].wrapped_key[:-1]))


def lose_the_commitment(ours: SealedFile, _: SealedFile, __: Blobs) -> SealedFile:
    return with_part(ours, replace(ours.parts[0], commitment=b""))


def lose_the_blob(ours: SealedFile, _: SealedFile, blobs: Blobs) -> SealedFile:
    del blobs[ours.parts[0].key]
    return ours


def empty_the_blob(ours: SealedFile, _: SealedFile, blobs: Blobs) -> SealedFile:
    blobs[ours.parts[0].key] = b""
    return ours


EDITS: list[Edit] = [
    take_their_blob,
    take_their_wrapped_key,
    take_their_commitment,
    take_their_blob_and_wrapped_key,
    take_their_blob_key_and_commitment,
    take_their_blob_id,
    take_their_part,
    take_their_part_and_digest,
    take_their_record,
    take_everything_but_the_name,
    name_another_file,
    name_another_part,
    name_another_generation,
    name_another_size,
    name_a_shorter_part,
    cut_to_two_segments,
    name_another_digest,
    name_a_short_digest,
    name_another_plain_length,
    name_a_negative_length,
    name_another_stored_length,
    name_an_enormous_length,
    name_no_parts,
    name_the_part_twice,
    name_no_data_key,
    name_no_data_key_for_the_part,
    move_to_another_case,
    move_out_of_its_case,
    name_a_scope_that_is_none,
    lose_the_record,
    cut_the_wrapped_key,
    lose_the_commitment,
    lose_the_blob,
    empty_the_blob,
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
async def test_an_edit_of_rows_or_store_is_refused_before_the_first_byte(
    memory_box: Strongbox, memory: MemoryStore, edit: Edit
) -> None:
    ours = await seal_file(memory_box, WHOLE, scope=CASE)
    theirs = await seal_file(memory_box, recipe(THREE_SEGMENTS, 1), scope=CASE)
    await seal_file(memory_box, b"so that the other scopes have keys", scope=OTHER_CASE)
    await seal_file(memory_box, b"so that the other scopes have keys")
    assert await read(memory_box, ours) == WHOLE
    edited = edit(ours, theirs, memory.blobs)
    for start, length in ((0, edited.size), (0, 1)):
        delivered = await deliver(memory_box, edited, start, length)
        assert (delivered.whole, delivered.plain) == (False, b"")


async def test_every_changed_byte_of_a_wrapped_key_or_a_record_is_refused(memory_box: Strongbox) -> None:
    file = await seal_file(memory_box, WHOLE)
    wrapped_keys = islice(flips(file.parts[0].wrapped_key), 3, None, 8)
    edits = [with_part(file, replace(file.parts[0], wrapped_key=key)) for key in wrapped_keys]
    edits += [replace(file, record=record) for record in islice(flips(file.record), 5, None, 8)]
    assert len(edits) == 93 + 33
    for edited in edits:
        with pytest.raises(IntegrityError):
            await memory_box.open(edited)


async def test_a_file_of_many_parts_is_the_parts_in_order(memory_box: Strongbox) -> None:
    parts = [recipe(length, length) for length in (1, 200, THREE_SEGMENTS, 5)]
    file = await seal_file(memory_box, *parts)
    assert await read(memory_box, file) == b"".join(parts)
    for start, end in pairwise(accumulate(map(len, parts), initial=0)):
        assert await read(memory_box, file, start, end - start) == b"".join(parts)[start:end]


async def test_parts_reordered_repeated_or_dropped_are_refused(memory_box: Strongbox) -> None:
    file = await seal_file(memory_box, *(recipe(300, seed) for seed in range(3)))
    one, two, three = file.parts
    for parts in ((two, one, three), (one, three, two), (one, one, three), (one, two), (two, three), (one, two, two)):
        for size in (file.size, sum(part.plain_length for part in parts)):
            with pytest.raises(IntegrityError):
                await memory_box.open(replace(file, parts=parts, size=size))


async def test_an_abandoned_attempt_at_the_same_part_is_refused(memory_box: Strongbox) -> None:
    file = await seal_file(memory_box, WHOLE, WHOLE)
    at = replace(file.parts[1].context, blob_id=new_id())
    abandoned, _ = await seal_part(memory_box, WHOLE, at=at, scope=file.scope)
    with pytest.raises(IntegrityError):
        await memory_box.open(with_part(file, abandoned, 1))


async def test_a_blob_under_another_commitment_than_its_record_says_is_refused(memory_box: Strongbox) -> None:
    file = await seal_file(memory_box, WHOLE)
    part = replace(file.parts[0], commitment=damaged(file.parts[0].commitment))
    bound = replace(with_part(file, part), record=b"")
    bound = replace(bound, record=await memory_box.record(bound))
    delivered = await deliver(memory_box, bound)
    assert (delivered.whole, delivered.plain) == (False, b"")


async def test_an_older_record_of_the_same_file_is_refused(memory_box: Strongbox) -> None:
    before = await seal_file(memory_box, WHOLE)
    resealed = await seal_file(memory_box, WHOLE, generation=2)
    after = replace(resealed, file_id=before.file_id)
    after = replace(after, record=await memory_box.record(after))
    with pytest.raises(IntegrityError):
        await memory_box.open(replace(after, record=before.record))
    with pytest.raises(IntegrityError):
        await memory_box.open(replace(before, record=after.record))
    renamed = replace(before, sha256=sha256(b"renamed").digest())
    renamed = replace(renamed, record=await memory_box.record(renamed))
    with pytest.raises(IntegrityError):
        await memory_box.open(replace(renamed, record=before.record))


async def test_a_data_key_moved_to_another_case_opens_nothing_there(
    memory_box: Strongbox, keyring: Keyring, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.keyring.keyring.ROW_SECONDS", 0)
    rows: Any = DataKeyRow
    file = await seal_file(memory_box, WHOLE, scope=CASE)
    async with database.write() as connection:
        await connection.execute(update(DataKeyRow).where(rows.id == file.data_key_id).values(scope=OTHER_CASE))
    with pytest.raises(IntegrityError):
        await memory_box.open(file)
    keyring._cache.clear()
    with pytest.raises(KeyProviderError):
        await memory_box.open(replace(file, scope=OTHER_CASE))


async def test_a_file_opens_after_a_restart_with_the_same_master_key(database: Database, memory: MemoryStore) -> None:
    provider = LocalKeyProvider.random()
    stores = Stores([memory])
    before, after = (Strongbox(stores, Keyring(database, [provider]), [NoScanner()], LAYOUT) for _ in range(2))
    assert await read(after, await seal_file(before, WHOLE, scope=CASE)) == WHOLE


async def test_another_segment_size_is_refused(keyring: Keyring, memory: MemoryStore, memory_box: Strongbox) -> None:
    file = await seal_file(memory_box, WHOLE)
    production = Strongbox(Stores([memory]), keyring, [NoScanner()])
    assert not (await deliver(production, file)).whole


class DribblingStore(MemoryStore):
    """Gives a byte at a time, and after `until` bytes of a call what `then` says."""

    def __init__(self) -> None:
        super().__init__()
        self.until = 1 << 30
        self.then: Exception | None = None

    async def get(
        self, key: str, spans: Sequence[ByteSpan], use: Callable[[memoryview], T], *, size: int | None = None
    ) -> AsyncGenerator[T, None]:
        given_out = 0
        async for piece in super().get(key, spans, bytes, size=size):
            for at in range(len(piece)):
                if given_out == self.until:
                    if self.then is not None:
                        raise self.then
                    return
                yield use(memoryview(piece)[at : at + 1])
                given_out += 1


class OpenHandedStore(MemoryStore):
    """Keeps what it was asked for, and gives `more` bytes than that."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[ByteSpan]] = []
        self.more = 0

    def get(
        self, key: str, spans: Sequence[ByteSpan], use: Callable[[memoryview], T], *, size: int | None = None
    ) -> AsyncGenerator[T, None]:
        self.asked.append(list(spans))
        *others, (start, length) = spans
        return super().get(key, [*others, (start, length + self.more)], use, size=size)


@pytest.mark.parametrize(
    ("start", "length", "spans"),
    [
        (0, 1, [(SEGMENT_2, 23), (HEAD, 256)]),
        (199, 2, [(SEGMENT_2, 23), (HEAD, 512)]),
        (200, 1, [(SEGMENT_2, 23), (SEGMENT_1, 256)]),
        (200, 241, [(SEGMENT_1, 256 + 23)]),
        (0, THREE_SEGMENTS, [(HEAD, 512 + 23)]),
    ],
)
async def test_preamble_end_and_range_are_asked_for_at_once(
    keyring: Keyring, start: int, length: int, spans: list[ByteSpan]
) -> None:
    store = OpenHandedStore()
    box = Strongbox(Stores([store]), keyring, [NoScanner()], LAYOUT)
    assert await read(box, await seal_file(box, WHOLE), start, length) == WHOLE[start : start + length]
    assert store.asked == [[(0, HEAD + 40), *spans]]


async def test_a_store_that_gives_more_bytes_than_it_was_asked_for_is_noticed(keyring: Keyring) -> None:
    store = OpenHandedStore()
    box = Strongbox(Stores([store]), keyring, [NoScanner()], LAYOUT)
    file = await seal_file(box, WHOLE)
    for store.more in (1, 256):
        delivered = await deliver(box, file, 0, 1)
        assert (delivered.whole, delivered.plain) == (False, b"")


@pytest.fixture
def dribbling(keyring: Keyring) -> tuple[DribblingStore, Strongbox]:
    store = DribblingStore()
    return store, Strongbox(Stores([store]), keyring, [NoScanner()], LAYOUT)


async def test_pieces_of_any_size_make_segments(dribbling: tuple[DribblingStore, Strongbox]) -> None:
    _, box = dribbling
    file = await seal_file(box, WHOLE)
    assert await read(box, file) == WHOLE
    assert await read(box, file, 150, 200) == WHOLE[150:350]


async def test_a_store_that_gives_fewer_bytes_than_it_has_is_noticed(
    dribbling: tuple[DribblingStore, Strongbox],
) -> None:
    store, box = dribbling
    file = await seal_file(box, WHOLE)
    for store.until in (0, 100, 167, 168, 255, 300, 494):
        delivered = await deliver(box, file)
        assert not delivered.whole
        assert delivered.plain in {b"", WHOLE[:200], WHOLE[:440]}


@pytest.mark.parametrize("until", [0, 100, 168, 300])
async def test_a_store_that_goes_away_in_the_middle_is_away_and_not_damaged(
    dribbling: tuple[DribblingStore, Strongbox], until: int
) -> None:
    store, box = dribbling
    file = await seal_file(box, WHOLE)
    store.until, store.then = until, StoreAway()
    with pytest.raises(StoreAway):
        await read(box, file)


@pytest.mark.parametrize("pieces", [1, 2])
async def test_the_memory_of_a_read_that_ended_needs_no_garbage_collection(
    memory_box: Strongbox, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    lent: list[weakref.ref[Rooms]] = []

    def lend() -> Rooms:
        rooms = Rooms()
        lent.append(weakref.ref(rooms))
        return rooms

    file = await seal_file(memory_box, WHOLE)
    monkeypatch.setattr("portal.strongbox.reader.Rooms", lend)
    gc.disable()
    try:
        reader = await memory_box.open(file)
        async with aclosing(reader.read(0, THREE_SEGMENTS)) as reading:
            for _ in range(pieces):
                assert await anext(reading)
        del reader, reading
        assert [rooms() for rooms in lent] == [None]
    finally:
        gc.enable()
