"""A box opens with its key, for its place, unchanged: and in no other way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.errors import IntegrityError
from portal.crypto import secret_box

KEY, OTHER = b"k" * 32, b"o" * 32
PLACE, ELSEWHERE = b"row 1", b"row 2"


@given(st.binary(max_size=100))
def test_what_goes_in_comes_out(secret: bytes) -> None:
    assert secret_box.unseal(KEY, PLACE, secret_box.seal(KEY, PLACE, secret)) == secret


def test_two_boxes_of_one_secret_differ() -> None:
    assert secret_box.seal(KEY, PLACE, b"secret") != secret_box.seal(KEY, PLACE, b"secret")
    assert b"secret" not in secret_box.seal(KEY, PLACE, b"secret")


@pytest.mark.parametrize(("key", "context"), [(OTHER, PLACE), (KEY, ELSEWHERE), (KEY, b"")])
def test_another_key_or_place_opens_nothing(key: bytes, context: bytes) -> None:
    with pytest.raises(IntegrityError):
        secret_box.unseal(key, context, secret_box.seal(KEY, PLACE, b"secret"))


def test_every_flipped_bit_and_every_cut_is_refused() -> None:
    sealed = secret_box.seal(KEY, PLACE, b"secret")
    flipped = [
        sealed[:at] + bytes([sealed[at] ^ 1 << bit]) + sealed[at + 1 :] for at in range(len(sealed)) for bit in range(8)
    ]
    for changed in [*flipped, *(sealed[:length] for length in range(len(sealed))), sealed + b"\0"]:
        with pytest.raises(IntegrityError):
            secret_box.unseal(KEY, PLACE, changed)
