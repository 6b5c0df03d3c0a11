"""Sizes and places against a stream cut by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.errors import IntegrityError, TooLarge
from portal.crypto.layout import MAX_PLAIN, PRODUCTION, Layout, SegmentSpan

HEADER, TAG, MIB = 40, 16, 1 << 20
SMALL = [57, 64, 256]
small = pytest.mark.parametrize("segment", SMALL)
every_size = pytest.mark.parametrize("segment", [*SMALL, MIB])


def cut(plain: int, segment: int) -> list[int]:
    """Plaintext bytes of each segment, the way a writer fills them."""
    sizes, room = [], segment - HEADER - TAG
    while plain > room:
        sizes.append(room)
        plain, room = plain - room, segment - TAG
    return [*sizes, plain]


def boundaries(segment: int) -> list[int]:
    """Plaintext lengths at, just under and just over the ends of the first three segments."""
    ends = [segment - 56 + n * (segment - 16) for n in range(3)]
    return sorted({0, 1} | {end + step for end in ends for step in (-1, 0, 1)})


@small
def test_a_stream_is_its_header_its_bytes_and_a_tag_for_each_segment(segment: int) -> None:
    layout = Layout(segment)
    for plain in range(4 * segment):
        sizes = cut(plain, segment)
        assert layout.segments(plain) == len(sizes)
        assert layout.stream_length(plain) == HEADER + plain + TAG * len(sizes)


@small
def test_a_stream_length_tells_the_plain_length_or_is_refused(segment: int) -> None:
    layout = Layout(segment)
    plain_of = {HEADER + plain + TAG * len(cut(plain, segment)): plain for plain in range(4 * segment)}
    for stream in range(-2 * segment, 4 * segment):
        if stream in plain_of:
            assert layout.plain_length(stream) == plain_of[stream]
        else:
            with pytest.raises(IntegrityError):
                layout.plain_length(stream)


@every_size
@pytest.mark.parametrize("full", [1, 2, 5])
def test_a_tail_segment_with_no_plaintext_is_refused(segment: int, full: int) -> None:
    layout = Layout(segment)
    assert layout.plain_length(full * segment) > 0
    for tail in range(1, 17):
        with pytest.raises(IntegrityError):
            layout.plain_length(full * segment + tail)
    assert layout.plain_length(full * segment + 17) == layout.plain_length(full * segment) + 1


@every_size
def test_a_stream_too_short_for_one_tag_is_refused(segment: int) -> None:
    for stream in (-(1 << 64), -MIB, -segment, -1, *range(56)):
        with pytest.raises(IntegrityError):
            Layout(segment).plain_length(stream)
    assert Layout(segment).plain_length(56) == 0


@given(plain=st.integers(0, MAX_PLAIN))
def test_plain_length_inverts_stream_length(plain: int) -> None:
    assert PRODUCTION.plain_length(PRODUCTION.stream_length(plain)) == plain


@given(segment=st.integers(57, 5_000), plain=st.integers(0, 1 << 30))
def test_plain_length_inverts_stream_length_for_any_segment_size(segment: int, plain: int) -> None:
    assert Layout(segment).plain_length(Layout(segment).stream_length(plain)) == plain


@given(stream=st.integers(-MIB, MAX_PLAIN + (1 << 33)))
def test_a_stream_length_is_inverted_or_refused(stream: int) -> None:
    try:
        plain = PRODUCTION.plain_length(stream)
    except IntegrityError:
        assert stream < 56 or 0 < stream % MIB <= TAG or stream > PRODUCTION.stream_length(MAX_PLAIN)
    else:
        assert PRODUCTION.stream_length(plain) == stream


def test_a_longer_file_never_has_a_shorter_stream() -> None:
    for segment in SMALL:
        lengths = [Layout(segment).stream_length(plain) for plain in range(3 * segment)]
        assert lengths == sorted(set(lengths))


@given(segment=st.integers(57, 600), plain=st.integers(0, 5_000))
def test_segment_ranges_tile_the_stream_exactly(segment: int, plain: int) -> None:
    layout, position = Layout(segment), HEADER
    for index, size in enumerate(cut(plain, segment)):
        assert layout.segment_range(index, plain) == (position, size + TAG)
        position += size + TAG
    assert position == layout.stream_length(plain)


@given(plain=st.integers(0, MAX_PLAIN), data=st.data())
def test_segment_i_starts_at_i_times_the_segment_size(plain: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, PRODUCTION.segments(plain) - 1))
    start, length = PRODUCTION.segment_range(index, plain)
    assert start == (index * MIB if index else HEADER)
    assert start + length == min((index + 1) * MIB, PRODUCTION.stream_length(plain))
    assert TAG <= length <= MIB


def byte_map(plain: int, segment: int) -> list[tuple[int, int]]:
    """(segment, offset in its plaintext) of every byte of a file."""
    return [(index, offset) for index, size in enumerate(cut(plain, segment)) for offset in range(size)]


@small
def test_a_span_starts_and_ends_where_the_byte_map_says(segment: int) -> None:
    where, layout = byte_map(3 * segment, segment), Layout(segment)
    for start, (first, skip) in enumerate(where):
        for length in {1, 2, segment - 57, segment - 56, segment - 16, segment, len(where) - start}:
            if 0 < length <= len(where) - start:
                last = where[start + length - 1][0]
                assert layout.span(start, length) == SegmentSpan(first, last, skip, length)


@small
def test_every_range_between_boundaries_agrees_with_the_byte_map(segment: int) -> None:
    marks, layout = boundaries(segment), Layout(segment)
    where = byte_map(max(marks), segment)
    for start in marks[:-1]:
        for end in (mark for mark in marks if mark > start):
            first, skip = where[start]
            assert layout.span(start, end - start) == SegmentSpan(first, where[end - 1][0], skip, end - start)


@small
def test_the_span_of_the_empty_file_is_its_one_segment(segment: int) -> None:
    assert Layout(segment).span(0, 0) == SegmentSpan(0, 0, 0, 0)


@given(segment=st.sampled_from(SMALL), plain=st.integers(1, 2_000), data=st.data())
def test_any_range_cut_out_of_its_span_is_the_range(segment: int, plain: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, plain - 1))
    length = data.draw(st.integers(1, plain - start))
    span, where = Layout(segment).span(start, length), byte_map(plain, segment)
    held = [position for position in range(plain) if span.first <= where[position][0] <= span.last]
    assert held[span.skip : span.skip + span.length] == list(range(start, start + length))
    assert {where[position][0] for position in range(start, start + length)} == {*range(span.first, span.last + 1)}


PRODUCTION_SIZES = [
    # plaintext, segments, stream
    (0, 1, 56),
    (1, 1, 57),
    (1_048_519, 1, 1_048_575),
    (1_048_520, 1, 1_048_576),
    (1_048_521, 2, 1_048_593),
    (2_097_079, 2, 2_097_151),
    (2_097_080, 2, 2_097_152),
    (2_097_081, 3, 2_097_169),
    (3_145_640, 3, 3_145_728),
    (17_592_186_044_416, 16_777_473, 17_592_454_484_024),  # 16 TiB
]


@pytest.mark.parametrize(("plain", "segments", "stream"), PRODUCTION_SIZES)
def test_production_has_these_sizes(plain: int, segments: int, stream: int) -> None:
    assert PRODUCTION.segments(plain) == segments
    assert PRODUCTION.stream_length(plain) == stream
    assert PRODUCTION.plain_length(stream) == plain


def test_production_segments_are_one_mebibyte_and_share_the_first_with_the_header() -> None:
    assert PRODUCTION.segment == 1_048_576
    assert PRODUCTION.segment_plain(0) == 1_048_520
    assert PRODUCTION.segment_plain(1) == PRODUCTION.segment_plain(2) == 1_048_560


@pytest.mark.parametrize("over", [1, 2, 1 << 20, 1 << 60])
def test_more_than_16_tib_is_refused(over: int) -> None:
    with pytest.raises(TooLarge):
        PRODUCTION.stream_length((16 << 40) + over)


@pytest.mark.parametrize("over", [1, 2, 1 << 20, 1 << 60])
def test_a_stream_of_more_than_16_tib_is_refused(over: int) -> None:
    with pytest.raises(IntegrityError):
        PRODUCTION.plain_length(PRODUCTION.stream_length(16 << 40) + over)


def test_a_segment_number_never_outgrows_its_four_bytes() -> None:
    most = 200 + 240 * ((1 << 32) - 1)
    assert Layout(256).segments(most) == 1 << 32
    assert Layout(256).stream_length(most) == HEADER + most + (TAG << 32)
    with pytest.raises(TooLarge):
        Layout(256).stream_length(most + 1)
