"""Wrapped keys: they open where they belong, and nowhere else."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.errors import IntegrityError
from portal.crypto import derive
from portal.crypto.format import BlobContext
from portal.crypto.wrap import (
    DATA_KEY_WRAP_SIZE,
    FILE_KEY_WRAP_SIZE,
    data_key_context,
    new_key,
    unwrap_data_key,
    unwrap_file_key,
    wrap_data_key,
    wrap_file_key,
    wrapped_under,
)

FILE_KEY, DATA_KEY, MASTER_KEY = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
DATA_KEY_ID = UUID(int=0xDA7A)
PLACE = BlobContext(UUID(int=0xF11E), UUID(int=0xB10B), 2, 5)
SCOPE = "case:" + "5c" * 16
KID = derive.master_key_id(MASTER_KEY)
CONTEXT = data_key_context(KID, DATA_KEY_ID, SCOPE)

OTHER_COORDINATES = {
    "another file": (replace(PLACE, file_id=UUID(int=1)), DATA_KEY_ID),
    "another blob": (replace(PLACE, blob_id=UUID(int=1)), DATA_KEY_ID),
    "file and blob swapped": (replace(PLACE, file_id=PLACE.blob_id, blob_id=PLACE.file_id), DATA_KEY_ID),
    "another part": (replace(PLACE, part=3), DATA_KEY_ID),
    "another generation": (replace(PLACE, key_generation=6), DATA_KEY_ID),
    "part and generation swapped": (replace(PLACE, part=5, key_generation=2), DATA_KEY_ID),
    "another data key's id": (PLACE, UUID(int=1)),
}
OTHER_CONTEXTS = {
    "another master key's id": data_key_context(bytes(8), DATA_KEY_ID, SCOPE),
    "another data key's id": data_key_context(KID, UUID(int=1), SCOPE),
    "another case": data_key_context(KID, DATA_KEY_ID, "case:" + "5d" * 16),
    "no case": data_key_context(KID, DATA_KEY_ID, "none"),
    "nothing": b"",
}

keys = st.binary(min_size=32, max_size=32)
places = st.builds(
    BlobContext, st.uuids(), st.uuids(), part=st.integers(0, 9_999), key_generation=st.integers(1, (1 << 32) - 1)
)


def flips(wrapped: bytes) -> list[bytes]:
    """`wrapped` with each of its bits flipped in turn."""
    whole = int.from_bytes(wrapped, "big")
    return [(whole ^ 1 << bit).to_bytes(len(wrapped), "big") for bit in range(8 * len(wrapped))]


def wrong_lengths(wrapped: bytes) -> list[bytes]:
    return [wrapped[:length] for length in range(len(wrapped))] + [wrapped + bytes(more) for more in range(1, 50)]


def file_key_opens(
    wrapped: bytes, data_key: bytes = DATA_KEY, context: BlobContext = PLACE, data_key_id: UUID = DATA_KEY_ID
) -> bool:
    try:
        return unwrap_file_key(wrapped, data_key, data_key_id, context) == FILE_KEY
    except IntegrityError:
        return False


def data_key_opens(wrapped: bytes, master_key: bytes = MASTER_KEY, context: bytes = CONTEXT) -> bool:
    try:
        return unwrap_data_key(wrapped, master_key, context) == DATA_KEY
    except IntegrityError:
        return False


def test_new_keys_are_32_bytes_and_never_the_same() -> None:
    drawn = {new_key() for _ in range(100)}
    assert len(drawn) == 100
    assert {len(key) for key in drawn} == {32}


@given(file_key=keys, data_key=keys, data_key_id=st.uuids(), context=places)
def test_a_wrapped_file_key_opens_where_it_was_made(
    file_key: bytes, data_key: bytes, data_key_id: UUID, context: BlobContext
) -> None:
    wrapped = wrap_file_key(file_key, data_key, data_key_id, context)
    assert len(wrapped) == FILE_KEY_WRAP_SIZE == 93
    assert unwrap_file_key(wrapped, data_key, data_key_id, context) == file_key


@given(data_key=keys, master_key=keys, data_key_id=st.uuids(), case=st.uuids())
def test_a_wrapped_data_key_opens_where_it_was_made(
    data_key: bytes, master_key: bytes, data_key_id: UUID, case: UUID
) -> None:
    kid = derive.master_key_id(master_key)
    for scope in ("none", f"case:{case.hex}"):
        wrapped = wrap_data_key(data_key, master_key, data_key_context(kid, data_key_id, scope))
        assert len(wrapped) == DATA_KEY_WRAP_SIZE == 101
        assert wrapped_under(wrapped) == kid
        assert unwrap_data_key(wrapped, master_key, data_key_context(kid, data_key_id, scope)) == data_key


def test_two_wraps_of_a_file_key_share_no_salt_nonce_or_ciphertext() -> None:
    one, two = (wrap_file_key(FILE_KEY, DATA_KEY, DATA_KEY_ID, PLACE) for _ in range(2))
    assert one[0] == two[0] == 1
    assert one[1:33] != two[1:33]
    assert one[33:45] != two[33:45]
    assert one[45:] != two[45:]


def test_two_wraps_of_a_data_key_share_only_the_master_keys_id() -> None:
    one, two = (wrap_data_key(DATA_KEY, MASTER_KEY, CONTEXT) for _ in range(2))
    assert one[:9] == two[:9] == b"\x01" + KID
    assert one[9:41] != two[9:41]
    assert one[41:53] != two[41:53]
    assert one[53:] != two[53:]


def test_no_bit_of_a_wrapped_file_key_may_flip() -> None:
    wrapped = wrap_file_key(FILE_KEY, DATA_KEY, DATA_KEY_ID, PLACE)
    for wrong in flips(wrapped):
        with pytest.raises(IntegrityError):
            unwrap_file_key(wrong, DATA_KEY, DATA_KEY_ID, PLACE)


def test_no_bit_of_a_wrapped_data_key_may_flip() -> None:
    wrapped = wrap_data_key(DATA_KEY, MASTER_KEY, CONTEXT)
    for wrong in flips(wrapped):
        with pytest.raises(IntegrityError):
            unwrap_data_key(wrong, MASTER_KEY, CONTEXT)


def test_a_wrapped_file_key_of_another_length_is_refused() -> None:
    for wrong in wrong_lengths(wrap_file_key(FILE_KEY, DATA_KEY, DATA_KEY_ID, PLACE)):
        with pytest.raises(IntegrityError):
            unwrap_file_key(wrong, DATA_KEY, DATA_KEY_ID, PLACE)


def test_a_wrapped_data_key_of_another_length_is_refused() -> None:
    for wrong in wrong_lengths(wrap_data_key(DATA_KEY, MASTER_KEY, CONTEXT)):
        with pytest.raises(IntegrityError):
            unwrap_data_key(wrong, MASTER_KEY, CONTEXT)
        with pytest.raises(IntegrityError):
            wrapped_under(wrong)


@pytest.mark.parametrize("version", [0, 2, 0x20, 0xFF])
def test_a_wrap_of_another_version_is_refused(version: int) -> None:
    assert not file_key_opens(bytes([version]) + wrap_file_key(FILE_KEY, DATA_KEY, DATA_KEY_ID, PLACE)[1:])
    wrapped = bytes([version]) + wrap_data_key(DATA_KEY, MASTER_KEY, CONTEXT)[1:]
    assert not data_key_opens(wrapped)
    with pytest.raises(IntegrityError):
        wrapped_under(wrapped)


@pytest.mark.parametrize(("context", "data_key_id"), OTHER_COORDINATES.values(), ids=OTHER_COORDINATES)
def test_a_wrapped_file_key_moved_elsewhere_does_not_open(context: BlobContext, data_key_id: UUID) -> None:
    here = wrap_file_key(FILE_KEY, DATA_KEY, DATA_KEY_ID, PLACE)
    there = wrap_file_key(FILE_KEY, DATA_KEY, data_key_id, context)
    assert file_key_opens(here)
    assert file_key_opens(there, context=context, data_key_id=data_key_id)
    assert not file_key_opens(here, context=context, data_key_id=data_key_id)
    assert not file_key_opens(there)


@pytest.mark.parametrize("context", OTHER_CONTEXTS.values(), ids=OTHER_CONTEXTS)
def test_a_wrapped_data_key_moved_elsewhere_does_not_open(context: bytes) -> None:
    here, there = wrap_data_key(DATA_KEY, MASTER_KEY, CONTEXT), wrap_data_key(DATA_KEY, MASTER_KEY, context)
    assert data_key_opens(here)
    assert data_key_opens(there, context=context)
    assert not data_key_opens(here, context=context)
    assert not data_key_opens(there)


def test_another_data_key_opens_no_file_key() -> None:
    wrapped = wrap_file_key(FILE_KEY, DATA_KEY, DATA_KEY_ID, PLACE)
    assert file_key_opens(wrapped)
    assert [key for key in [bytes(32), FILE_KEY, *flips(DATA_KEY)] if file_key_opens(wrapped, key)] == []


def test_another_master_key_opens_no_data_key() -> None:
    wrapped = wrap_data_key(DATA_KEY, MASTER_KEY, CONTEXT)
    assert data_key_opens(wrapped)
    assert [key for key in [bytes(32), DATA_KEY, *flips(MASTER_KEY)] if data_key_opens(wrapped, key)] == []


def test_another_master_key_opens_no_data_key_that_names_it() -> None:
    other = bytes(32)
    kid = derive.master_key_id(other)
    renamed = b"\x01" + kid + wrap_data_key(DATA_KEY, MASTER_KEY, CONTEXT)[9:]
    for context in (CONTEXT, data_key_context(kid, DATA_KEY_ID, SCOPE)):
        assert not data_key_opens(renamed, other, context)
        assert not data_key_opens(renamed, MASTER_KEY, context)


def test_a_wrapped_file_key_is_no_wrapped_data_key() -> None:
    file_wrap, data_wrap = (
        wrap_file_key(FILE_KEY, MASTER_KEY, DATA_KEY_ID, PLACE),
        wrap_data_key(DATA_KEY, MASTER_KEY, CONTEXT),
    )
    assert not data_key_opens(b"\x01" + KID + file_wrap[1:])
    assert not file_key_opens(b"\x01" + data_wrap[9:], MASTER_KEY)


def test_a_key_check_tells_keys_and_ids_apart() -> None:
    checks = {
        derive.data_key_check(key, key_id) for key in (DATA_KEY, FILE_KEY) for key_id in (DATA_KEY_ID, UUID(int=1))
    }
    assert len(checks) == 4
    assert {len(check) for check in checks} == {16}


def test_a_master_key_id_gives_no_byte_of_the_key_away() -> None:
    assert len(KID) == 8
    assert KID not in MASTER_KEY
    assert len({derive.master_key_id(key) for key in [MASTER_KEY, *flips(MASTER_KEY)]}) == 257


@pytest.mark.parametrize("scope", ["", "case:", "case:" + "5D" * 16, "case:" + "5d" * 15, "none\n", "fälle"])
def test_a_scope_that_is_none_is_refused(scope: str) -> None:
    with pytest.raises(IntegrityError):
        data_key_context(KID, DATA_KEY_ID, scope)


def test_a_file_key_of_another_length_is_a_bug() -> None:
    with pytest.raises(RuntimeError):
        wrap_file_key(bytes(31), bytes(32), DATA_KEY_ID, PLACE)
