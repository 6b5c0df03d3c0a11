"""The stream against published vectors, both ways."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.errors import IntegrityError
from portal.crypto.layout import STREAM_HEADER_SIZE, Layout
from portal.crypto.stream import SegmentCutter, StreamOpener, StreamSealer

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "stream.json").read_text())
KEY, AAD = bytes.fromhex(VECTORS["key_hex"]), bytes.fromhex(VECTORS["aad_hex"])


def by_name(kind: str) -> Callable[[Callable[..., None]], Any]:
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=[v["name"] for v in VECTORS[kind]])


def recipe(length: int) -> bytes:
    return bytes((i * 31 + 7) % 251 for i in range(length))


def seal(plain: bytes, layout: Layout, key: bytes = KEY, aad: bytes = AAD) -> bytes:
    sealer, cutter = StreamSealer(key, aad, layout), SegmentCutter(layout)
    body = b"".join(sealer.seal(segment, last=False) for segment in cutter.feed(plain))
    return sealer.header + body + sealer.seal(cutter.finish(), last=True)


def open_stream(sealed: bytes, layout: Layout, key: bytes = KEY, aad: bytes = AAD) -> bytes:
    plain = layout.plain_length(len(sealed))
    opener = StreamOpener(sealed[:STREAM_HEADER_SIZE], key, aad, layout, plain)
    ranges = (layout.segment_range(index, plain) for index in range(opener.last + 1))
    return b"".join(opener.open(i, sealed[start : start + length]) for i, (start, length) in enumerate(ranges))


@pytest.fixture
def published_randomness(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([bytes.fromhex(VECTORS["salt_hex"]), bytes.fromhex(VECTORS["nonce_prefix_hex"])])
    monkeypatch.setattr("os.urandom", lambda _: next(drawn))


@by_name("valid")
@pytest.mark.usefixtures("published_randomness")
def test_seals_exactly_the_published_bytes_and_opens_them(vector: dict[str, Any]) -> None:
    layout = Layout(vector["segment_size"])
    sealed = seal(recipe(vector["plaintext_len"]), layout)
    assert len(sealed) == vector["ciphertext_len"]
    assert hashlib.sha256(sealed).hexdigest() == vector["ciphertext_sha256"]
    assert hashlib.sha256(open_stream(sealed, layout)).hexdigest() == vector["plaintext_sha256"]


@by_name("invalid")
def test_refuses_what_a_reader_must_refuse(vector: dict[str, Any]) -> None:
    sealed, aad = bytes.fromhex(vector["ciphertext_hex"]), bytes.fromhex(vector["aad_hex"])
    with pytest.raises(IntegrityError):
        open_stream(sealed, Layout(vector["segment_size"]), aad=aad)


@given(plain=st.binary(max_size=3_000), cuts=st.lists(st.integers(1, 700), max_size=20))
def test_round_trip_for_any_length_and_any_chunks(plain: bytes, cuts: list[int]) -> None:
    layout, rest, chunks = Layout(256), plain, []
    for cut in cuts:
        chunks.append(rest[:cut])
        rest = rest[cut:]
    sealer, cutter = StreamSealer(KEY, AAD, layout), SegmentCutter(layout)
    sealed = sealer.header
    for chunk in [*chunks, rest]:
        sealed += b"".join(sealer.seal(segment, last=False) for segment in cutter.feed(chunk))
    sealed += sealer.seal(cutter.finish(), last=True)
    assert len(sealed) == layout.stream_length(len(plain))
    assert open_stream(sealed, layout) == plain


@pytest.mark.parametrize(("size", "last"), [(199, False), (201, False), (439, False), (441, False), (0, False)])
def test_a_segment_of_the_wrong_size_is_a_bug(size: int, *, last: bool) -> None:
    with pytest.raises(RuntimeError):
        StreamSealer(KEY, AAD, Layout(256)).seal(bytes(size), last=last)


def test_nothing_is_sealed_after_the_last_segment() -> None:
    sealer = StreamSealer(KEY, AAD, Layout(256))
    sealer.seal(b"x", last=True)
    with pytest.raises(RuntimeError):
        sealer.seal(b"y", last=True)


def test_two_seals_of_the_same_bytes_share_no_salt_prefix_or_segment() -> None:
    one, two = seal(bytes(500), Layout(256)), seal(bytes(500), Layout(256))
    assert one[1:33] != two[1:33]
    assert one[33:40] != two[33:40]
    assert one[40:] != two[40:]
