"""The stream against Google Tink itself, both ways: an SFP1 blob without its head is Tink's own format."""

import functools
import io
from typing import Any
from uuid import UUID

import pytest
import tink
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from portal.core.errors import IntegrityError
from portal.crypto.blob import stored_length
from portal.crypto.format import BlobContext
from portal.crypto.layout import STREAM_HEADER_SIZE, Layout
from portal.crypto.stream import StreamOpener

from .whole_blob import recipe, seal_blob

KEY, AAD = bytes(range(32)), b"what the stream is bound to"
PLACE = BlobContext(UUID(int=0xF11E), UUID(int=0xB10B), 2, 5)
S = 1 << 20


def boundaries(segment: int) -> list[int]:
    """Plaintext lengths around the ends of the first three segments."""
    ends = [segment - 56 + n * (segment - 16) for n in range(3)]
    odd = [segment - 57, segment - 55, segment - 40, segment - 16, segment - 1, segment, segment + 1]
    return sorted({0, 1, 15, 16, 17, *odd, *(end + step for end in ends for step in (-1, 0, 1))} - {-1})


SIZES = [(segment, plain) for segment in (57, 64, 256, S) for plain in boundaries(segment)]


@functools.cache
def tink_with(segment: int, key: bytes = KEY) -> Any:
    """Tink's streaming AEAD under one raw AES256_GCM_HKDF key."""
    streaming_aead.register()
    params = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
        ciphertext_segment_size=segment, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256
    )
    material = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=key, params=params)
    data = tink_pb2.KeyData(
        type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
        value=material.SerializeToString(),
        key_material_type=tink_pb2.KeyData.SYMMETRIC,
    )
    only = tink_pb2.Keyset.Key(key_id=1, status=tink_pb2.ENABLED, output_prefix_type=tink_pb2.RAW, key_data=data)
    keyset = tink_pb2.Keyset(primary_key_id=1, key=[only]).SerializeToString()
    return tink.proto_keyset_format.parse(keyset, secret_key_access.TOKEN).primitive(streaming_aead.StreamingAead)


class Kept(io.BytesIO):
    """Tink closes what it writes to: keep the bytes."""

    kept = b""

    def close(self) -> None:
        self.kept = self.getvalue()
        super().close()


def tink_seals(plain: bytes, segment: int, aad: bytes = AAD) -> bytes:
    sink = Kept()
    with tink_with(segment).new_encrypting_stream(sink, aad) as stream:
        stream.write(plain)
    return sink.kept


def tink_opens(sealed: bytes, segment: int, aad: bytes = AAD, key: bytes = KEY) -> bytes:
    with tink_with(segment, key).new_decrypting_stream(io.BytesIO(sealed), aad) as stream:
        return bytes(stream.read())


def we_open(sealed: bytes, segment: int, aad: bytes = AAD) -> bytes:
    layout = Layout(segment)
    plain = layout.plain_length(len(sealed))
    opener = StreamOpener(sealed[:STREAM_HEADER_SIZE], KEY, aad, layout, plain)
    ranges = (layout.segment_range(index, plain) for index in range(opener.last + 1))
    return b"".join(opener.open(i, sealed[start : start + length]) for i, (start, length) in enumerate(ranges))


@pytest.mark.parametrize(("segment", "size"), SIZES)
def test_tink_opens_what_we_seal(segment: int, size: int) -> None:
    blob = seal_blob(recipe(size), PLACE, KEY, Layout(segment))
    assert tink_opens(blob[128:], segment, aad=blob[:96]) == recipe(size)


@pytest.mark.parametrize(("segment", "size"), SIZES)
def test_we_open_what_tink_seals(segment: int, size: int) -> None:
    sealed = tink_seals(recipe(size), segment)
    assert len(sealed) == stored_length(Layout(segment), size) - 128
    assert we_open(sealed, segment) == recipe(size)


@settings(max_examples=50)
@given(segment=st.integers(57, 400), size=st.integers(0, 1_500), aad=st.binary(max_size=200))
def test_tink_and_we_agree_on_any_size(segment: int, size: int, aad: bytes) -> None:
    assert we_open(tink_seals(recipe(size), segment, aad), segment, aad) == recipe(size)


def test_we_refuse_what_tink_seals_for_another_context() -> None:
    sealed = tink_seals(recipe(500), 256)
    assert we_open(sealed, 256) == recipe(500)
    with pytest.raises(IntegrityError):
        we_open(sealed, 256, b"something else")


def test_tink_refuses_what_we_seal_for_another_place_or_key() -> None:
    blob = seal_blob(recipe(500), PLACE, KEY, Layout(256))
    assert tink_opens(blob[128:], 256, aad=blob[:96]) == recipe(500)
    with pytest.raises(tink.TinkError):
        tink_opens(blob[128:], 256, aad=blob[:95] + b"\x01")
    with pytest.raises(tink.TinkError):
        tink_opens(blob[128:], 256, aad=blob[:96], key=bytes(32))
