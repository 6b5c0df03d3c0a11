"""Whole blobs: what opens, and everything that must not."""

import itertools
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.errors import IntegrityError
from portal.crypto import derive
from portal.crypto.blob import PREAMBLE_SIZE, BlobOpener, plain_length, segment_range, stored_length
from portal.crypto.format import BlobContext, bound_head
from portal.crypto.layout import PREFIX_SIZE, STREAM_HEADER_SIZE, Layout
from portal.crypto.stream import StreamOpener

from .two_keys import ciphertext_for_both
from .whole_blob import open_blob, recipe, seal_blob

LAYOUT = Layout(256)
KEY = bytes(range(32))
PLACE = BlobContext(UUID(int=0xF11E), UUID(int=0xB10B), 2, 5)
OTHER_PLACES = {
    "another file": replace(PLACE, file_id=UUID(int=1)),
    "another blob": replace(PLACE, blob_id=UUID(int=1)),
    "another part": replace(PLACE, part=3),
    "another generation": replace(PLACE, key_generation=6),
    "an earlier generation": replace(PLACE, key_generation=4),
}
THREE_SEGMENTS, THREE_FULL = 200 + 240 + 21, 200 + 240 + 240


def seal(plain: bytes) -> bytes:
    return seal_blob(plain, PLACE, KEY, LAYOUT)


def opens(blob: bytes, context: BlobContext = PLACE, key: bytes = KEY) -> bool:
    try:
        open_blob(blob, context, key, LAYOUT)
    except IntegrityError:
        return False
    return True


def pieces(blob: bytes) -> list[bytes]:
    """The ciphertext segments of a blob."""
    plain = plain_length(LAYOUT, len(blob))
    ranges = (segment_range(LAYOUT, index, plain) for index in range(LAYOUT.segments(plain)))
    return [blob[start : start + length] for start, length in ranges]


def flipped(blob: bytes, bit: int) -> bytes:
    return blob[: bit // 8] + bytes([blob[bit // 8] ^ 1 << bit % 8]) + blob[bit // 8 + 1 :]


@given(plain=st.binary(max_size=2_000))
def test_round_trip(plain: bytes) -> None:
    blob = seal(plain)
    assert len(blob) == stored_length(LAYOUT, len(plain))
    assert plain_length(LAYOUT, len(blob)) == len(plain)
    assert open_blob(blob, PLACE, KEY, LAYOUT) == plain


@pytest.mark.parametrize("size", [0, 1, 199, 200, 201, 439, 440, 441, 679, 680, 681])
def test_round_trip_at_every_boundary(size: int) -> None:
    assert open_blob(seal(recipe(size)), PLACE, KEY, LAYOUT) == recipe(size)


def test_segments_open_in_any_order() -> None:
    blob = seal(recipe(THREE_SEGMENTS))
    opener = BlobOpener(blob[:PREAMBLE_SIZE], PLACE, KEY, LAYOUT, THREE_SEGMENTS)
    assert opener.last == 2
    assert opener.open(2, pieces(blob)[2]) == recipe(THREE_SEGMENTS)[440:]
    assert opener.open(0, pieces(blob)[0]) == recipe(THREE_SEGMENTS)[:200]


def test_the_commitment_is_the_heads() -> None:
    blob = seal(b"x")
    assert BlobOpener(blob[:PREAMBLE_SIZE], PLACE, KEY, LAYOUT, 1).commitment == blob[96:128]


@pytest.mark.parametrize("size", [0, THREE_SEGMENTS])
def test_no_bit_may_flip(size: int) -> None:
    blob = seal(recipe(size))
    assert opens(blob)
    assert [bit for bit in range(8 * len(blob)) if opens(flipped(blob, bit))] == []


@pytest.mark.parametrize("size", [0, THREE_SEGMENTS, THREE_FULL])
def test_no_cut_is_accepted(size: int) -> None:
    blob = seal(recipe(size))
    assert opens(blob)
    assert [length for length in range(len(blob)) if opens(blob[:length])] == []


@pytest.mark.parametrize("size", [0, THREE_SEGMENTS, THREE_FULL])
def test_nothing_may_follow(size: int) -> None:
    blob = seal(recipe(size))
    more = {"zeros": bytes(300), "noise": recipe(300), "its own bytes": blob[PREAMBLE_SIZE:] * 20}
    accepted = [(name, n) for name, tail in more.items() for n in range(1, 301) if opens(blob + tail[:n])]
    assert accepted == []


def test_nothing_may_be_missing_in_front() -> None:
    blob = seal(recipe(THREE_SEGMENTS))
    assert [start for start in range(1, len(blob)) if opens(blob[start:])] == []


@pytest.mark.parametrize("other", OTHER_PLACES.values(), ids=OTHER_PLACES)
@pytest.mark.parametrize("size", [0, THREE_SEGMENTS])
def test_a_blob_opens_in_its_place_alone(other: BlobContext, size: int) -> None:
    assert opens(seal_blob(recipe(size), other, KEY, LAYOUT), other)
    assert not opens(seal_blob(recipe(size), other, KEY, LAYOUT))
    assert not opens(seal(recipe(size)), other)


@pytest.mark.parametrize("other", OTHER_PLACES.values(), ids=OTHER_PLACES)
def test_a_stream_under_the_head_of_another_place_is_refused(other: BlobContext) -> None:
    blob, donor = seal(recipe(300)), seal_blob(recipe(300), other, KEY, LAYOUT)
    assert not opens(blob[:128] + donor[128:])
    assert not opens(donor[:128] + blob[128:], other)


def test_a_head_of_another_sealing_of_the_same_place_is_refused() -> None:
    one, two = seal(recipe(300)), seal(recipe(300))
    assert opens(one)
    assert opens(two)
    assert not opens(one[:128] + two[128:])


def test_another_key_opens_nothing() -> None:
    blob = seal(recipe(300))
    assert [bit for bit in range(256) if opens(blob, key=flipped(KEY, bit))] == []


def test_segments_in_another_order_are_refused() -> None:
    blob = seal(recipe(200 + 240 + 240 + 100))
    preamble, parts = blob[:PREAMBLE_SIZE], pieces(blob)
    orders = [
        order for order in itertools.permutations(range(4)) if opens(preamble + b"".join(parts[i] for i in order))
    ]
    assert orders == [(0, 1, 2, 3)]


@pytest.mark.parametrize("last", [100, 240])
def test_dropped_and_repeated_segments_are_refused(last: int) -> None:
    blob = seal(recipe(200 + 240 + 240 + last))
    preamble, parts = blob[:PREAMBLE_SIZE], pieces(blob)
    for index in range(4):
        dropped, repeated, overwritten = parts.copy(), parts.copy(), parts.copy()
        del dropped[index]
        repeated.insert(index, parts[index])
        overwritten[index] = parts[index - 1]
        for wrong in (dropped, repeated, overwritten):
            assert not opens(preamble + b"".join(wrong))


def test_a_segment_of_another_blob_under_the_same_key_is_refused() -> None:
    blob, donor = seal(recipe(THREE_SEGMENTS)), seal(recipe(THREE_SEGMENTS))
    for index in range(3):
        parts = pieces(blob)
        parts[index] = pieces(donor)[index]
        assert not opens(blob[:PREAMBLE_SIZE] + b"".join(parts))


@pytest.mark.parametrize("size", [0, 200, THREE_SEGMENTS, THREE_FULL])
def test_a_blob_of_another_length_than_its_row_claims_is_refused(size: int) -> None:
    blob = seal(recipe(size))
    for claimed in {*range(900)} - {size}:
        opener = BlobOpener(blob[:PREAMBLE_SIZE], PLACE, KEY, LAYOUT, claimed)
        start, length = segment_range(LAYOUT, opener.last, claimed)
        with pytest.raises(IntegrityError):
            opener.open(opener.last, blob[start : start + length])


def test_a_segment_after_the_last_does_not_exist() -> None:
    blob = seal(recipe(THREE_FULL))
    opener = BlobOpener(blob[:PREAMBLE_SIZE], PLACE, KEY, LAYOUT, THREE_FULL)
    for sealed in (b"", bytes(16), pieces(blob)[2]):
        with pytest.raises(IntegrityError):
            opener.open(3, sealed)


def test_a_reader_accepts_its_own_segment_size_alone() -> None:
    small = seal(recipe(40))
    assert open_blob(seal_blob(recipe(40), PLACE, KEY, Layout()), PLACE, KEY, Layout()) == recipe(40)
    with pytest.raises(IntegrityError):
        open_blob(small, PLACE, KEY, Layout())
    with pytest.raises(IntegrityError):
        open_blob(small, PLACE, KEY, Layout(512))


@pytest.mark.parametrize("length", [0, 96, 128, PREAMBLE_SIZE - 1, PREAMBLE_SIZE + 1])
def test_a_preamble_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(IntegrityError):
        BlobOpener(seal(recipe(300))[:length], PLACE, KEY, LAYOUT, 300)


def test_two_blobs_of_the_same_bytes_share_nothing_but_their_place() -> None:
    one, two = seal(recipe(300)), seal(recipe(300))
    assert one[:96] == two[:96]
    assert one[96:128] != two[96:128]
    assert one[129:161] != two[129:161]
    assert one[161:168] != two[161:168]
    assert one[168:] != two[168:]


def test_a_stream_made_to_open_under_two_keys_opens_under_the_committed_one_alone() -> None:
    other = bytes(reversed(KEY))
    bound, header = bound_head(PLACE, LAYOUT.segment), bytes([STREAM_HEADER_SIZE]) + recipe(32 + PREFIX_SIZE)
    stream_keys = derive.stream_key(KEY, header[1:33], bound), derive.stream_key(other, header[1:33], bound)
    nonce = header[-PREFIX_SIZE:] + bytes(4) + b"\x01"
    sealed = ciphertext_for_both(*stream_keys, nonce, b"an honest report", b"a forged invoice")

    one = StreamOpener(header, KEY, bound, LAYOUT, 48).open(0, sealed)
    two = StreamOpener(header, other, bound, LAYOUT, 48).open(0, sealed)
    assert (one[:16], two[16:32]) == (b"an honest report", b"a forged invoice")
    assert one != two

    for committed, refused in ((KEY, other), (other, KEY)):
        blob = bound + derive.commitment(committed, header[1:33], bound) + header + sealed
        assert opens(blob, key=committed)
        assert not opens(blob, key=refused)
