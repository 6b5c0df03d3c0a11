"""Sizes and places, as pure functions of the segment size: so that Range and Content-Length never guess.

All sizes are bytes. Production knows segments of 1 MiB alone; tests build small ones so that exhaustive tests stay
cheap (`docs/format.md` 2). Next: `stream` and `blob` seal what this cuts, `strongbox` asks the store for what it names.
"""

from dataclasses import dataclass

from portal.core.errors import IntegrityError, TooLarge

TAG_SIZE = 16
SALT_SIZE = 32
PREFIX_SIZE = 7
STREAM_HEADER_SIZE = 1 + SALT_SIZE + PREFIX_SIZE
MAX_PLAIN = 1 << 44  # 16 TiB a file
_MAX_SEGMENTS = 1 << 32


@dataclass(frozen=True, slots=True)
class SegmentSpan:
    """Segments `first`..`last` hold the plaintext wanted: drop `skip` bytes of the first, keep `length` in all."""

    first: int
    last: int
    skip: int
    length: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The arithmetic of a stream whose ciphertext segments, tags included, have `segment` bytes."""

    segment: int = 1 << 20

    def segment_plain(self, index: int) -> int:
        """Plaintext bytes of segment `index` when full: segment 0 shares its room with the stream header."""
        return self.segment - TAG_SIZE - (0 if index else STREAM_HEADER_SIZE)

    def segments(self, plain: int) -> int:
        """How many segments hold `plain` bytes; the empty file has one."""
        beyond_first = plain - self.segment_plain(0)
        return 1 if beyond_first <= 0 else 1 + -(-beyond_first // self.segment_plain(1))

    def stream_length(self, plain: int) -> int:
        """Bytes of the whole stream, header and tags included. Raises TooLarge over 16 TiB."""
        if plain > MAX_PLAIN or self.segments(plain) > _MAX_SEGMENTS:
            raise TooLarge
        return STREAM_HEADER_SIZE + plain + TAG_SIZE * self.segments(plain)

    def plain_length(self, stream: int) -> int:
        """Inverse of `stream_length`. Raises IntegrityError for a length that no plaintext has."""
        count = -(-stream // self.segment)
        plain = stream - STREAM_HEADER_SIZE - TAG_SIZE * count
        if not 0 <= plain <= MAX_PLAIN or self.segments(plain) != count or count > _MAX_SEGMENTS:
            raise IntegrityError  # an empty tail segment is such a length: Tink accepts it, we do not
        return plain

    def segment_range(self, index: int, plain: int) -> tuple[int, int]:
        """(offset in the stream, length) of the ciphertext of segment `index` of a file of `plain` bytes."""
        start = index * self.segment if index else STREAM_HEADER_SIZE
        return start, min((index + 1) * self.segment, self.stream_length(plain)) - start

    def span(self, start: int, length: int) -> SegmentSpan:
        """Which segments hold plaintext [start, start + length), inside the file. `length` > 0 unless that is empty."""
        first, skip = self._seek(start)
        last, _ = self._seek(start + length - 1)
        return SegmentSpan(first, last, skip, length)

    def _seek(self, position: int) -> tuple[int, int]:
        index, offset = divmod(position + STREAM_HEADER_SIZE, self.segment - TAG_SIZE)
        return index, offset if index else offset - STREAM_HEADER_SIZE


PRODUCTION = Layout()
