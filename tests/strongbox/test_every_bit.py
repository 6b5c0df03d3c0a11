"""Every bit, every cut, every byte more of a file in two parts: a range that needs what was damaged ends in the alarm,
and until then gives nothing but the truth; one that does not is unharmed.

What a range needs is worked out here anew, from the page of the format: heads, its own segments, and the last one.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from portal.backends.scanners.none import NoScanner
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox.model import SealedFile
from portal.strongbox.reader import Reader
from portal.strongbox.strongbox import Strongbox

from .sealing import LAYOUT, THREE_SEGMENTS, LyingStore, deliver_reader, flips, recipe, seal_file

PLAIN = (recipe(THREE_SEGMENTS), recipe(300, 1))
CONTENT = b"".join(PLAIN)
BORDER = len(PLAIN[0])
SEGMENTS = ((0, 200, 440), (0, 200))  # where the segments of each part begin in its plaintext
ENDS = ((128 + 256, 128 + 512, 663), (128 + 256, 500))  # where they end in its blob
PREAMBLE = 168
RANGES = (
    (0, len(CONTENT)),
    (0, 1),
    (250, 100),  # inside the second segment
    (199, 2),
    (BORDER - 4, 10),  # over the border of the parts
    (BORDER + 250, 10),
    (len(CONTENT) - 1, 1),
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A file of two parts over a store that says what it is told to say."""

    store: LyingStore
    file: SealedFile
    reader: Reader


@pytest.fixture
async def opened(keyring: Keyring) -> AsyncIterator[Opened]:
    store = LyingStore()
    box = Strongbox(Stores([store]), keyring, [NoScanner()], LAYOUT)
    file = await seal_file(box, *PLAIN)
    sound = dict(store.blobs)
    yield Opened(store, file, await box.open(file))
    store.blobs, store.claimed = sound, {}
    reader = await box.open(file)
    for start, length in RANGES:  # it was the damage, and nothing else
        assert (await deliver_reader(reader, start, length)).plain == CONTENT[start : start + length]


def inside(part: int, start: int, length: int) -> tuple[int, int]:
    """What of the part a range wants: from, to; nothing where they meet."""
    origin = part * BORDER
    size = len(PLAIN[part])
    return min(max(start - origin, 0), size), min(max(start + length - origin, 0), size)


def needed(part: int, start: int, length: int) -> list[int]:
    """The segments of the part that a range needs; of a part that it leaves alone, none."""
    begin, end = inside(part, start, length)
    last = len(SEGMENTS[part]) - 1
    if begin == end:
        return []
    wanted = [
        n for n, at in enumerate(SEGMENTS[part]) if at < end and begin < [*SEGMENTS[part], len(PLAIN[part])][n + 1]
    ]
    return sorted({*wanted, last})


def needs(part: int, at: int, start: int, length: int) -> bool:
    """Whether a range needs the byte `at` of the part's blob."""
    segments = needed(part, start, length)
    segment = next(number for number, end in enumerate(ENDS[part]) if at < end)
    return bool(segments) and (at < PREAMBLE or segment in segments)


async def refused(opened: Opened, start: int, length: int, part: int) -> bool:
    """Whether the range ended in the alarm; what came before it is the truth, without the part's last segment."""
    delivered = await deliver_reader(opened.reader, start, length)
    assert CONTENT[start : start + length].startswith(delivered.plain)
    if delivered.whole:
        assert len(delivered.plain) == length
    else:
        assert start + len(delivered.plain) <= part * BORDER + SEGMENTS[part][-1] or delivered.plain == b""
    return not delivered.whole


@pytest.mark.parametrize("part", [0, 1])
async def test_every_flipped_bit_is_refused_to_whoever_needs_it_and_to_nobody_else(opened: Opened, part: int) -> None:
    key = opened.file.parts[part].key
    for bit, flipped in enumerate(flips(opened.store.blobs[key])):
        opened.store.blobs[key] = flipped
        at = len(flipped) - 1 - bit // 8
        for start, length in RANGES:
            assert await refused(opened, start, length, part) is needs(part, at, start, length), (bit, start)


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize("part", [0, 1])
async def test_a_cut_at_every_byte_is_refused_to_whoever_needs_the_part(
    opened: Opened, part: int, *, honest: bool
) -> None:
    key = opened.file.parts[part].key
    blob = opened.store.blobs[key]
    opened.store.claimed = {} if honest else {key: len(blob)}
    for cut in range(len(blob)):
        opened.store.blobs[key] = blob[:cut]
        for start, length in RANGES:
            assert await refused(opened, start, length, part) is bool(needed(part, start, length)), (cut, start)


@pytest.mark.parametrize("part", [0, 1])
async def test_bytes_more_are_refused_to_whoever_needs_the_part(opened: Opened, part: int) -> None:
    key, other = opened.file.parts[part].key, opened.file.parts[1 - part].key
    blob, more = opened.store.blobs[key], opened.store.blobs[other]
    for size in (*range(1, 300), len(more)):
        opened.store.blobs[key] = blob + more[:size]
        for start, length in RANGES:
            assert await refused(opened, start, length, part) is bool(needed(part, start, length)), (size, start)


async def test_parts_that_changed_places_are_refused_to_everybody(opened: Opened) -> None:
    one, two = (part.key for part in opened.file.parts)
    opened.store.blobs[one], opened.store.blobs[two] = opened.store.blobs[two], opened.store.blobs[one]
    for claimed in ({}, {part.key: part.stored_length for part in opened.file.parts}):
        opened.store.claimed = claimed
        for start, length in RANGES:
            assert (await deliver_reader(opened.reader, start, length)).plain == b""
