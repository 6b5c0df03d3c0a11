"""The head, byte by byte against the format's text."""

import hashlib
import hmac
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.errors import IntegrityError
from portal.crypto.format import BOUND_SIZE, HEAD_SIZE, BlobContext, bound_head, check_head, read_context

S = 1 << 20
KEY, SALT = bytes(range(32)), bytes(range(100, 132))
PLACE = BlobContext(UUID(bytes=b"the file's id 16"), UUID(bytes=b"the blob's id 16"), 7, 3)
FIXED = [*range(8), *range(48, 96)]  # every byte of the bound head that has one allowed value
BAD_PREFIXES = {
    "magic of another case": b"sfp1\x01\x01\x14\x00",
    "magic of another version": b"SFP2\x01\x01\x14\x00",
    "version 0": b"SFP1\x00\x01\x14\x00",
    "version 2": b"SFP1\x02\x01\x14\x00",
    "version 0x20, never assigned": b"SFP1\x20\x01\x14\x00",
    "suite 0": b"SFP1\x01\x00\x14\x00",
    "suite 2": b"SFP1\x01\x02\x14\x00",
    "segments of 1 byte": b"SFP1\x01\x01\x00\x00",
    "segments of 256 bytes": b"SFP1\x01\x01\x08\x00",
    "segments of 512 KiB": b"SFP1\x01\x01\x13\x00",
    "segments of 2 MiB": b"SFP1\x01\x01\x15\x00",
    "segments of 2^63 bytes": b"SFP1\x01\x01\x3f\x00",
    "segments of 2^255 bytes": b"SFP1\x01\x01\xff\x00",
    "lowest flag": b"SFP1\x01\x01\x14\x01",
    "highest flag": b"SFP1\x01\x01\x14\x80",
}

places = st.builds(
    BlobContext, st.uuids(), st.uuids(), part=st.integers(0, 9_999), key_generation=st.integers(1, (1 << 32) - 1)
)


def by_hand(context: BlobContext, log2_segment: int = 20) -> bytes:
    start = b"SFP1" + bytes([1, 1, log2_segment, 0]) + context.file_id.bytes + context.blob_id.bytes
    return start + context.part.to_bytes(4, "big") + context.key_generation.to_bytes(4, "big") + bytes(48)


def committed(context: BlobContext, key: bytes = KEY, salt: bytes = SALT) -> bytes:
    bound = by_hand(context)
    secret = hmac.digest(salt, key, hashlib.sha256)
    return bound + hmac.digest(secret, b"SFP1 commit" + bound + b"\x01", hashlib.sha256)


def changed(head: bytes, position: int, value: int) -> bytes:
    return head[:position] + bytes([value]) + head[position + 1 :]


HEAD = committed(PLACE)


def test_a_head_is_its_fields_in_order() -> None:
    bound = bound_head(PLACE, S)
    assert len(bound) == BOUND_SIZE == 96
    assert bound[0:4] == b"SFP1"
    assert bound[4:8] == bytes([1, 1, 20, 0])
    assert bound[8:24] == b"the file's id 16"
    assert bound[24:40] == b"the blob's id 16"
    assert bound[40:44] == b"\0\0\0\x07"
    assert bound[44:48] == b"\0\0\0\x03"
    assert bound[48:96] == bytes(48)


@given(context=places)
def test_any_head_is_its_fields_in_order(context: BlobContext) -> None:
    assert bound_head(context, S) == by_hand(context)
    assert bound_head(context, 256) == by_hand(context, 8)


@given(context=places, commitment=st.binary(min_size=32, max_size=32))
def test_a_head_tells_its_place_whatever_its_commitment(context: BlobContext, commitment: bytes) -> None:
    assert read_context(by_hand(context) + commitment, S) == context


@pytest.mark.parametrize("position", FIXED)
def test_no_other_value_of_a_fixed_byte_is_read(position: int) -> None:
    for value in set(range(256)) - {HEAD[position]}:
        with pytest.raises(IntegrityError):
            read_context(changed(HEAD, position, value), S)


@pytest.mark.parametrize("prefix", BAD_PREFIXES.values(), ids=BAD_PREFIXES)
def test_no_other_format_is_read(prefix: bytes) -> None:
    with pytest.raises(IntegrityError):
        read_context(prefix + HEAD[8:], S)


def test_a_reader_accepts_its_own_segment_size_alone() -> None:
    small = by_hand(PLACE, 8) + bytes(32)
    assert read_context(small, 256) == PLACE
    for segment in (1, 128, 512, S):
        with pytest.raises(IntegrityError):
            read_context(small, segment)


@pytest.mark.parametrize("part", [10_000, 10_001, 1 << 31, (1 << 32) - 1])
def test_a_part_past_the_last_possible_is_not_read(part: int) -> None:
    assert read_context(by_hand(BlobContext(PLACE.file_id, PLACE.blob_id, 9_999)) + bytes(32), S).part == 9_999
    with pytest.raises(IntegrityError):
        read_context(by_hand(BlobContext(PLACE.file_id, PLACE.blob_id, part)) + bytes(32), S)


def test_key_generations_count_from_one() -> None:
    with pytest.raises(IntegrityError):
        read_context(by_hand(BlobContext(PLACE.file_id, PLACE.blob_id, 0, 0)) + bytes(32), S)


@pytest.mark.parametrize("length", [0, 1, 8, 48, 95, 96, 97, 127, 129, 168, 256])
def test_a_head_of_another_length_is_refused(length: int) -> None:
    head = (HEAD + bytes(HEAD_SIZE))[:length]
    with pytest.raises(IntegrityError):
        read_context(head, S)
    with pytest.raises(IntegrityError):
        check_head(head, PLACE, S, KEY, SALT)


@given(context=places)
def test_the_right_head_passes_and_yields_its_commitment(context: BlobContext) -> None:
    head = committed(context)
    assert check_head(head, context, S, KEY, SALT) == head[96:]


def test_no_bit_of_a_head_may_change() -> None:
    for bit in range(8 * HEAD_SIZE):
        position = bit // 8
        with pytest.raises(IntegrityError):
            check_head(changed(HEAD, position, HEAD[position] ^ 1 << bit % 8), PLACE, S, KEY, SALT)


@pytest.mark.parametrize(
    "other",
    [
        BlobContext(UUID(int=1), PLACE.blob_id, 7, 3),
        BlobContext(PLACE.file_id, UUID(int=1), 7, 3),
        BlobContext(PLACE.blob_id, PLACE.file_id, 7, 3),
        BlobContext(PLACE.file_id, PLACE.blob_id, 8, 3),
        BlobContext(PLACE.file_id, PLACE.blob_id, 7, 4),
        BlobContext(PLACE.file_id, PLACE.blob_id, 3, 7),
    ],
    ids=["file", "blob", "file and blob swapped", "part", "generation", "part and generation swapped"],
)
def test_a_head_of_another_place_is_refused(other: BlobContext) -> None:
    with pytest.raises(IntegrityError):
        check_head(HEAD, other, S, KEY, SALT)
    with pytest.raises(IntegrityError):
        check_head(committed(other), PLACE, S, KEY, SALT)


def test_a_commitment_to_another_key_salt_or_segment_size_is_refused() -> None:
    for head in (committed(PLACE, key=bytes(32)), committed(PLACE, salt=bytes(32))):
        with pytest.raises(IntegrityError):
            check_head(head, PLACE, S, KEY, SALT)
    with pytest.raises(IntegrityError):
        check_head(HEAD, PLACE, 256, KEY, SALT)


@pytest.mark.parametrize(("part", "generation"), [(-1, 1), (10_000, 1), (0, 0), (0, -1), (0, 1 << 32)])
def test_coordinates_outside_their_bounds_are_refused(part: int, generation: int) -> None:
    with pytest.raises(IntegrityError):
        BlobContext(UUID(int=1), UUID(int=2), part, generation)
