"""Parts of a body: as a reader of the whole bytes finds them, whatever the cuts; and never more than a head is held."""

import re
from collections.abc import AsyncIterator, Iterable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portal.core.errors import InvalidInput
from portal.web.parts import MAX_HEAD_BYTES, MAX_HEADERS, Parts

BREAK = b"\r\n"
Found = list[tuple[dict[bytes, bytes], bytes]]
HEAD = b"--B\r\nA: b\r\n\r\n"


def as_whole(body: bytes, boundary: bytes = b"B") -> Found | None:
    """The parts of a body that lies there whole, by the grammar of RFC 2046; None for one that is refused."""
    for _ in range(4):
        body = body.removeprefix(BREAK)
    if not body.startswith(b"--" + boundary):
        return None
    found: Found = []
    delimiter, rest = b"\r\n--" + boundary, body[2 + len(boundary) :]
    while rest.startswith(BREAK):
        head, empty, rest = rest.partition(BREAK * 2)
        headers = [re.match(rb"([\w.-]+): *([^\r]*)$", line) for line in head.split(BREAK)[1:]]
        ends = [at for end in (BREAK, b"--") if (at := rest.find(delimiter + end)) >= 0]
        named = {header[1].lower(): header[2] for header in headers if header}
        if not empty or not ends or len(named) != len(headers):
            return None
        found.append((named, rest[: min(ends)]))
        rest = rest[min(ends) + len(delimiter) :]
    return found if rest.startswith(b"--") and (BREAK * 4).startswith(rest[2:]) else None


async def in_one_room(chunks: Sequence[bytes]) -> AsyncIterator[memoryview]:
    """As a connection fills one buffer again and again: what is read too late is not there any more."""
    room = bytearray(max(map(len, chunks), default=0))
    for chunk in chunks:
        room[:] = b"\xee" * len(room)
        room[: len(chunk)] = chunk
        yield memoryview(room)[: len(chunk)]


async def parted(chunks: Sequence[bytes], boundary: bytes = b"B") -> Found | None:
    parts, found = Parts(boundary, in_one_room(chunks)), Found()
    try:
        while (headers := await parts.next()) is not None:
            content = b""
            while (piece := await parts.read()) is not None:
                content += piece
            found.append((headers, content))
    except InvalidInput:
        return None
    return found


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({place % (len(body) + 1) for place in places} | {len(body)})
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


SHARDS = [
    *(b"\r", b"\n", b"-", b"--", b"\r\n", b"\r\n-", b"\r\n--", b"--B", b"B", b"x", b":", b"A: b\r\n", b"\r\n\r\n"),
    *(b"\r\n--B", b"\r\n--B-", b"\r\n--B\r", b"\r\n--BX", b"\r\n--B\r\n", b"\r\n--B--", b"\r\n" + HEAD, b"\xff", b"\0"),
]
soups = st.lists(st.sampled_from(SHARDS), max_size=16).map(b"".join)


@given(soup=soups, start=st.sampled_from([b"", b"--B", HEAD]), places=st.lists(st.integers(0, 100), max_size=8))
@example(soup=b"\r\n--B\r\r\n--B-\r\n--B", start=HEAD, places=[])
@example(soup=b"\r\n--B\r\n\r\n", start=HEAD, places=[])
async def test_any_body_has_the_parts_that_a_reader_of_the_whole_finds(
    soup: bytes, start: bytes, places: list[int]
) -> None:
    for body in (start + soup, start + soup + b"\r\n--B--"):
        expected = as_whole(body)
        assert await parted([body]) == expected
        assert await parted(cut(body, places)) == expected
        assert await parted([body[at : at + 1] for at in range(len(body))]) == expected


@pytest.mark.parametrize("boundary", [b"B", b"--", b"----WebKitFormBoundary7MA4YWxkTrZu0gW", b"=_:'x" * 14])
@pytest.mark.parametrize("after", [b"\r\nA: b\r\n\r\ny", b""], ids=["another part", "none"])
async def test_a_delimiter_may_lie_across_the_borders_of_chunks_at_any_byte(boundary: bytes, after: bytes) -> None:
    near = b"\r\n--" + boundary[:-1] + b"\r\n--" + boundary + b"\n\r\n--" + boundary + b"-"
    delimiter = b"\r\n--" + boundary
    body = delimiter[2:] + BREAK * 2 + near + b"x" + (delimiter + after if after else b"") + delimiter + b"--"
    expected = as_whole(body, boundary)
    assert expected is not None
    assert expected[0] == ({}, near + b"x")
    for first in range(len(body)):
        assert await parted([body[:first], body[first : first + 3], body[first + 3 :]], boundary) == expected


async def test_many_small_parts_are_found_in_one_chunk() -> None:
    body = b"".join(b"--B\r\nA: %d\r\n\r\n%d\r\n" % (number, number) for number in range(1000)) + b"--B--"
    assert await parted([body]) == [({b"a": b"%d" % number}, b"%d" % number) for number in range(1000)]


async def endless(start: bytes, piece: bytes) -> AsyncIterator[bytes]:
    yield start
    while True:
        yield piece


async def drained(parts: Parts) -> None:
    while await parts.next() is not None:
        while await parts.read() is not None:
            pass


@pytest.mark.parametrize("piece", [b"x" * 1000, b"x: y\r\n" * 100, b" "])
@pytest.mark.parametrize("start", [b"", b"--B\r\n", b"--B\r\nA: ", HEAD + b"\r\n--B--"])
async def test_what_never_ends_outside_of_a_part_is_refused_while_it_arrives(start: bytes, piece: bytes) -> None:
    with pytest.raises(InvalidInput):
        await drained(Parts(b"B", endless(start, piece)))


HEADS = {
    "as many headers": ([b"A%d: b" % number for number in range(MAX_HEADERS)], True),
    "one header more": ([b"A%d: b" % number for number in range(MAX_HEADERS + 1)], False),
    "as many bytes": ([b"A: " + b"b" * (MAX_HEAD_BYTES - 7)], True),
    "one byte more": ([b"A: " + b"b" * (MAX_HEAD_BYTES - 6)], False),
    "blanks before a line break that is none": ([b"A:" + b" " * (MAX_HEAD_BYTES - 8) + b"\rb"], False),
}


@pytest.mark.parametrize(("lines", "taken"), HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("size", [1000, 1 << 20])
async def test_a_head_is_as_large_as_it_may_be(lines: list[bytes], size: int, *, taken: bool) -> None:
    body = b"\r\n".join([b"--B", *lines, b"", b"c\r\n--B--"])
    found = await parted([body[at : at + size] for at in range(0, len(body), size)])
    assert (found is not None) == taken
