"""The stream against published vectors, both ways."""

import contextlib
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
    segments = [sealed[start : start + length] for start, length in ranges]
    room, filled = memoryview(bytearray(plain)), 0
    with contextlib.suppress(IntegrityError):  # `open` judges alike
        for index, segment in enumerate(segments):
            filled += opener.open_into(index, segment, room[filled:])
    opened = b"".join(opener.open(index, segment) for index, segment in enumerate(segments))
    assert room[:filled] == opened
    return opened


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


@given(length=st.integers(0, 2_000), run=st.integers(1, 4), cut=st.integers(1, 700))
def test_runs_of_segments_are_sealed_as_the_segments_are(length: int, run: int, cut: int) -> None:
    layout, plain = Layout(256), recipe(length)
    sealer, cutter, sealed, sizes = StreamSealer(KEY, AAD, layout), SegmentCutter(layout, run), b"", []
    for at in range(0, length, cut):
        for full in cutter.feed(plain[at : at + cut]):
            sizes.append((len(full), sealer.sealed_length(len(full))))
            sealed += sealer.seal(full, last=False)
    end = cutter.finish()
    sizes.append((len(end), sealer.sealed_length(len(end))))
    sealed += sealer.seal(end, last=True)
    assert open_stream(sealer.header + sealed, layout) == plain
    assert sum(size for _, size in sizes) == len(sealed)
    assert [size for size, _ in sizes[:-1]] == [240 * run - 40, *[240 * run] * (len(sizes) - 2)][: len(sizes) - 1]


def test_a_run_is_good_until_the_next_but_one() -> None:
    layout, plain, held = Layout(256), recipe(2_000), []
    cutter = SegmentCutter(layout, 2)
    for at in range(0, 2_000, 90):
        for full in cutter.feed(plain[at : at + 90]):
            held.append((full, bytes(full)))
            assert all(bytes(view) == was for view, was in held[-2:])
    assert len(held) == 4
    assert bytes(held[-1][0]) == held[-1][1]  # the one before the last is good as well
    assert b"".join(was for _, was in held) + bytes(cutter.finish()) == plain


@pytest.mark.parametrize("off", [-1, 1])
def test_room_of_another_size_is_no_room(off: int) -> None:
    sealer = StreamSealer(KEY, AAD, Layout(256))
    with pytest.raises(RuntimeError, match="room"):
        sealer.seal_into(bytes(440), bytearray(sealer.sealed_length(440) + off), last=True)


def test_a_segment_is_not_opened_into_too_little_room() -> None:
    sealed, layout = seal(b"plain", Layout(256)), Layout(256)
    opener = StreamOpener(sealed[:STREAM_HEADER_SIZE], KEY, AAD, layout, 5)
    with pytest.raises(RuntimeError, match="room"):
        opener.open_into(0, sealed[STREAM_HEADER_SIZE:], memoryview(bytearray(4)))


def test_damage_is_found_in_room_too() -> None:
    sealed, layout = bytearray(seal(b"plain", Layout(256))), Layout(256)
    opener = StreamOpener(bytes(sealed[:STREAM_HEADER_SIZE]), KEY, AAD, layout, 5)
    for index in range(STREAM_HEADER_SIZE, len(sealed)):
        sealed[index] ^= 1
        with pytest.raises(IntegrityError):
            opener.open_into(0, sealed[STREAM_HEADER_SIZE:], memoryview(bytearray(5)))
        sealed[index] ^= 1
    with pytest.raises(IntegrityError):
        opener.open_into(0, sealed[STREAM_HEADER_SIZE:-1], memoryview(bytearray(5)))


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
