"""A sealed stream: Google Tink's AES-GCM-HKDF streaming AEAD, byte for byte (`docs/format.md` 2).

Comes in: plaintext segments cut by `SegmentCutter`, a key, associated data. Leaves: ciphertext segments; and the way
back. `StreamSealer` draws its own salt and nonce prefix, and never seals an index twice. `StreamOpener` returns no
plaintext before its tag is verified. Use each object from one thread at a time; AES-GCM itself releases the GIL.
Next: `blob`.
"""

import os
import struct
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portal.core.buffer import Buffer
from portal.core.errors import IntegrityError
from portal.crypto import derive
from portal.crypto.layout import PREFIX_SIZE, SALT_SIZE, STREAM_HEADER_SIZE, TAG_SIZE, Layout

_NONCE_TAIL = struct.Struct(">IB")


class StreamSealer:
    """Seals one stream, in order, under a fresh stream key. Create a new sealer for every attempt, retries included.

    `header` (40 bytes) is stored before segment 0.
    """

    __slots__ = ("_aead", "_layout", "_next", "_prefix", "header", "salt")

    def __init__(self, key: bytes, associated_data: bytes, layout: Layout) -> None:
        self.salt, self._prefix = os.urandom(SALT_SIZE), os.urandom(PREFIX_SIZE)
        self.header = bytes([STREAM_HEADER_SIZE]) + self.salt + self._prefix
        self._aead = AESGCM(derive.stream_key(key, self.salt, associated_data))
        self._layout = layout
        self._next: int | None = 0

    def seal(self, plain: Buffer, *, last: bool) -> bytes:
        """The ciphertext of the next run of segments; `plain` is cut into segments in order.

        With `last=False`, `plain` must be exactly one or more full segments (`Layout.segment_plain`). With `last=True`,
        its final segment may be shorter, and ends the stream; it may be empty only if the whole file is empty. No call
        may follow it. Raises RuntimeError for a caller that breaks these rules: a bug, never an input.
        Example, for 2.5 segments: `seal(two_full, last=False)`, then `seal(half, last=True)`.
        """
        sealed = bytearray(self.sealed_length(len(plain)))
        self.seal_into(plain, sealed, last=last)
        return bytes(sealed)

    def sealed_length(self, plain: int) -> int:
        """The ciphertext length of the next `seal` of `plain` bytes: one tag of 16 bytes is added per segment."""
        return plain + TAG_SIZE * self._layout.segments(plain - (STREAM_HEADER_SIZE if self._next else 0))

    def seal_into(self, plain: Buffer, room: bytearray | memoryview, *, last: bool) -> None:
        """As `seal`, but writes the ciphertext into `room`, a buffer of exactly `sealed_length(len(plain))` bytes.

        Raises RuntimeError for a buffer of another size, and as `seal`.
        """
        if len(room) != self.sealed_length(len(plain)):
            raise RuntimeError("room of the wrong size")
        left, free = memoryview(plain), memoryview(room)
        while True:
            segment = left[: self._layout.segment_plain(self._next or 0)]
            left = left[len(segment) :]
            sealed, free = free[: len(segment) + TAG_SIZE], free[len(segment) + TAG_SIZE :]
            self._seal_one(segment, sealed, last=last and not left)
            if not left:
                return

    def _seal_one(self, plain: memoryview, room: memoryview, *, last: bool) -> None:
        if self._next is None or not self._fits(len(plain), self._next, last=last):
            raise RuntimeError("segment out of order or of the wrong size")
        index, self._next = self._next, None if last else self._next + 1  # first: no index is used twice, even on error
        self._aead.encrypt_into(_nonce(self._prefix, index, last=last), plain, None, room)

    def _fits(self, size: int, index: int, *, last: bool) -> bool:
        full = self._layout.segment_plain(index)
        return size == full or (last and size < full and (size > 0 or index == 0))


class StreamOpener:
    """Opens the segments of one stream, in any order. The plaintext length of the stream must be known."""

    __slots__ = ("_aead", "_layout", "_plain", "_prefix")

    def __init__(self, header: bytes, key: bytes, associated_data: bytes, layout: Layout, plain: int) -> None:
        """`header` is the stream's first 40 bytes, `plain` its plaintext length in bytes.

        Raises IntegrityError for a header of the wrong length or with a wrong first byte.
        """
        if len(header) != STREAM_HEADER_SIZE or header[0] != STREAM_HEADER_SIZE:
            raise IntegrityError
        self._aead = AESGCM(derive.stream_key(key, header[1 : 1 + SALT_SIZE], associated_data))
        self._prefix = header[-PREFIX_SIZE:]
        self._layout = layout
        self._plain = plain

    @property
    def last(self) -> int:
        """The index of the final segment, whose tag proves the end of the stream."""
        return self._layout.segments(self._plain) - 1

    def sealed_length(self, index: int) -> int:
        """The ciphertext length of segment `index` in bytes, tag included."""
        return self._layout.segment_range(index, self._plain)[1]

    def open(self, index: int, sealed: Buffer) -> bytes:
        """The plaintext of segment `index`.

        Raises IntegrityError if `sealed` has the wrong length, belongs to another index or stream, or is changed.
        """
        if len(sealed) != self.sealed_length(index):
            raise IntegrityError
        try:
            return self._aead.decrypt(self._nonce(index), sealed, None)
        except InvalidTag:
            raise IntegrityError from None

    def open_into(self, index: int, sealed: Buffer, room: memoryview) -> int:
        """As `open`, but writes the plaintext to the front of `room`; returns its length in bytes.

        After an error, `room` may hold bytes that were not verified. Raises RuntimeError if `room` is too small.
        """
        if len(sealed) != self.sealed_length(index):
            raise IntegrityError
        length = len(sealed) - TAG_SIZE
        if len(room) < length:
            raise RuntimeError("room of the wrong size")
        try:
            return self._aead.decrypt_into(self._nonce(index), sealed, None, room[:length])
        except InvalidTag:
            raise IntegrityError from None

    def _nonce(self, index: int) -> bytes:
        return _nonce(self._prefix, index, last=index == self.last)


class SegmentCutter:
    """Cuts chunks of any size into runs of full plaintext segments. `finish()` returns the last run.

    Every run is a memoryview of one of two buffers, which are used in turn: run N+2 overwrites run N. So run N may be
    sealed while run N+1 is filled, but that must have ended before the iterator is advanced past run N+1. Example:

        for run in cutter.feed(chunk):
            await sealing                             # of the run before
            sealing = asyncio.create_task(seal(run))  # goes on while the next run is filled

    The first buffer grows with the file, so a small file takes only as much memory as it has bytes.
    """

    __slots__ = ("_buffer", "_filled", "_layout", "_run", "_size", "_spare")

    def __init__(self, layout: Layout, run: int = 1) -> None:
        """`run` is the number of segments per run."""
        self._layout, self._run = layout, run
        self._buffer, self._spare = bytearray(), bytearray()
        self._filled, self._size = 0, layout.segment_plain(0) + (run - 1) * layout.segment_plain(1)

    def feed(self, chunk: Buffer) -> Iterator[memoryview]:
        """The runs that became full and are known not to be the last: a full run waits until another byte arrives."""
        left = memoryview(chunk)
        while left:
            if self._filled == self._size:
                yield self._full()
            piece = left[: self._size - self._filled]
            self._put(piece)
            left = left[len(piece) :]

    def finish(self) -> memoryview:
        """The last run. It is full if the file fills its runs exactly, and empty only for the empty file."""
        return memoryview(self._buffer)[: self._filled]

    def _full(self) -> memoryview:
        full = self.finish()
        self._filled, self._size = 0, self._run * self._layout.segment_plain(1)
        if len(self._spare) < self._size:
            self._spare = bytearray(self._size)
        self._buffer, self._spare = self._spare, self._buffer
        return full

    def _put(self, piece: memoryview) -> None:
        if len(self._buffer) == self._filled:
            self._buffer += piece  # the first run: the buffer grows with the file
        else:
            memoryview(self._buffer)[self._filled : self._filled + len(piece)] = piece
        self._filled += len(piece)


def _nonce(prefix: bytes, index: int, *, last: bool) -> bytes:
    return prefix + _NONCE_TAIL.pack(index, last)
