"""Sizes and offsets in a sealed stream, as pure functions of the segment size: Range and Content-Length never guess.

All sizes are bytes. Production has segments of 1 MiB only; tests use small ones to keep exhaustive tests cheap
(`docs/format.md` 2). Next: `stream` and `blob` seal by this arithmetic; `strongbox` reads the byte ranges it returns.
"""

from dataclasses import dataclass

from portal.core.errors import IntegrityError, TooLarge

TAG_SIZE = 16
SALT_SIZE = 32
PREFIX_SIZE = 7
STREAM_HEADER_SIZE = 1 + SALT_SIZE + PREFIX_SIZE
MAX_PLAIN = 1 << 44  # 16 TiB per file
MAX_INLINE_PLAIN = 1 << 20  # 1 MiB per file that lies in its row, whatever the setting is
_MAX_SEGMENTS = 1 << 32


@dataclass(frozen=True, slots=True)
class SegmentSpan:
    """The segments that contain a plaintext range: `first` to `last`, both included.

    To get the range, open them, drop `skip` bytes of the first one and take `length` bytes from there.
    """

    first: int
    last: int
    skip: int
    length: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The arithmetic of a stream. `segment` is the size of a ciphertext segment, tag included.

    Segment 0 is shorter by the stream header, and the last one may be short: see `docs/format.md` 2.
    """

    segment: int = 1 << 20

    def segment_plain(self, index: int) -> int:
        """Plaintext bytes in a full segment `index`. Segment 0 has fewer: the stream header takes part of its space."""
        return self.segment - TAG_SIZE - (0 if index else STREAM_HEADER_SIZE)

    def segments(self, plain: int) -> int:
        """The number of segments for `plain` bytes of plaintext; an empty file has one."""
        beyond_first = plain - self.segment_plain(0)
        return 1 if beyond_first <= 0 else 1 + -(-beyond_first // self.segment_plain(1))

    def stream_length(self, plain: int) -> int:
        """The size of the whole stream, header and tags included. Raises TooLarge over 16 TiB or 2^32 segments."""
        if plain > MAX_PLAIN or self.segments(plain) > _MAX_SEGMENTS:
            raise TooLarge
        return STREAM_HEADER_SIZE + plain + TAG_SIZE * self.segments(plain)

    def plain_length(self, stream: int) -> int:
        """The plaintext length of a stream of `stream` bytes: the inverse of `stream_length`.

        Raises IntegrityError for a length that no stream has.
        """
        count = -(-stream // self.segment)
        plain = stream - STREAM_HEADER_SIZE - TAG_SIZE * count
        if not 0 <= plain <= MAX_PLAIN or self.segments(plain) != count or count > _MAX_SEGMENTS:
            raise IntegrityError  # also for an empty segment behind a full one: Tink accepts it, this format does not
        return plain

    def segment_range(self, index: int, plain: int) -> tuple[int, int]:
        """(offset in the stream, length) of the ciphertext of segment `index`, in a file of `plain` bytes."""
        start = index * self.segment if index else STREAM_HEADER_SIZE
        return start, min((index + 1) * self.segment, self.stream_length(plain)) - start

    def span(self, start: int, length: int) -> SegmentSpan:
        """The segments that contain the plaintext bytes `start` to `start + length - 1`.

        The range must lie inside the file. `length` is at least 1; only for the empty file, `start` and `length` are 0.
        Example: with segments of 1 MiB, `span(1_048_520, 1)` is segment 1 with `skip` 0, because segment 0 has
        1,048,520 bytes of plaintext (1 MiB less a tag of 16 and a stream header of 40).
        """
        first, skip = self._seek(start)
        last, _ = self._seek(start + length - 1)
        return SegmentSpan(first, last, skip, length)

    def _seek(self, position: int) -> tuple[int, int]:
        index, offset = divmod(position + STREAM_HEADER_SIZE, self.segment - TAG_SIZE)
        return index, offset if index else offset - STREAM_HEADER_SIZE


PRODUCTION = Layout()
