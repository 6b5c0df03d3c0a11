"""A blob: a head, followed by a stream that is bound to it (`docs/format.md` 2).

Comes in: a `BlobContext`, a file key, plaintext segments. Leaves: the bytes to store; and the way back. Next:
`strongbox`.
"""

from portal.core.buffer import Buffer
from portal.core.errors import IntegrityError
from portal.crypto import derive
from portal.crypto.format import BOUND_SIZE, HEAD_SIZE, BlobContext, bound_head, check_head
from portal.crypto.layout import SALT_SIZE, STREAM_HEADER_SIZE, Layout
from portal.crypto.stream import StreamOpener, StreamSealer

PREAMBLE_SIZE = HEAD_SIZE + STREAM_HEADER_SIZE  # bytes before segment 0


class BlobSealer:
    """Seals one blob. Write `preamble`, then the result of every `seal()`; `commitment` goes into the file record."""

    __slots__ = ("_stream", "commitment", "preamble")

    def __init__(self, context: BlobContext, file_key: bytes, layout: Layout) -> None:
        bound = bound_head(context, layout.segment)
        self._stream = StreamSealer(file_key, bound, layout)
        self.commitment = derive.commitment(file_key, self._stream.salt, bound)
        self.preamble = bound + self.commitment + self._stream.header

    def seal(self, plain: Buffer, *, last: bool) -> bytes:
        """See `StreamSealer.seal`."""
        return self._stream.seal(plain, last=last)

    def sealed_length(self, plain: int) -> int:
        """See `StreamSealer.sealed_length`."""
        return self._stream.sealed_length(plain)

    def seal_into(self, plain: Buffer, room: bytearray | memoryview, *, last: bool) -> None:
        """See `StreamSealer.seal_into`."""
        self._stream.seal_into(plain, room, last=last)


class BlobOpener:
    """Opens the segments of one blob, in any order. The constructor verifies the preamble against `context` and
    `file_key`.
    """

    __slots__ = ("_stream", "commitment")

    def __init__(self, preamble: bytes, context: BlobContext, file_key: bytes, layout: Layout, plain: int) -> None:
        """`plain` is the expected plaintext length in bytes. Raises IntegrityError for any other preamble."""
        if len(preamble) != PREAMBLE_SIZE:
            raise IntegrityError
        head, header = preamble[:HEAD_SIZE], preamble[HEAD_SIZE:]
        self.commitment = check_head(head, context, layout.segment, file_key, header[1 : 1 + SALT_SIZE])
        self._stream = StreamOpener(header, file_key, head[:BOUND_SIZE], layout, plain)

    @property
    def last(self) -> int:
        """The index of the final segment."""
        return self._stream.last

    def sealed_length(self, index: int) -> int:
        """See `StreamOpener.sealed_length`."""
        return self._stream.sealed_length(index)

    def open(self, index: int, sealed: Buffer) -> bytes:
        """See `StreamOpener.open`."""
        return self._stream.open(index, sealed)

    def open_into(self, index: int, sealed: Buffer, room: memoryview) -> int:
        """See `StreamOpener.open_into`."""
        return self._stream.open_into(index, sealed, room)


def stored_length(layout: Layout, plain: int) -> int:
    """The size in bytes of a blob with `plain` bytes of plaintext. Raises TooLarge over 16 TiB."""
    return HEAD_SIZE + layout.stream_length(plain)


def plain_length(layout: Layout, stored: int) -> int:
    """The plaintext length of a blob of `stored` bytes: the inverse of `stored_length`.

    Raises IntegrityError for a length that no blob has.
    """
    return layout.plain_length(stored - HEAD_SIZE)


def segment_range(layout: Layout, index: int, plain: int) -> tuple[int, int]:
    """(offset in the blob, length) of the ciphertext of segment `index`, in bytes; `plain` is the file's length."""
    start, length = layout.segment_range(index, plain)
    return HEAD_SIZE + start, length
