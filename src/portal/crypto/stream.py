"""A sealed stream: Google Tink's AES-GCM-HKDF streaming AEAD, byte for byte (`docs/format.md` 2).

Comes in: plaintext segments cut by `SegmentCutter`, a key, associated data. Leaves: ciphertext segments, and back.
`StreamSealer` takes no salt or prefix from its caller and never seals an index twice; `StreamOpener` releases nothing
before its tag verified. Each is for one thread at a time; AES-GCM itself releases the GIL. Next: `blob`.
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
    """Seals one stream under one fresh key. Make a new one for every attempt, retries included."""

    __slots__ = ("_aead", "_layout", "_next", "_prefix", "header", "salt")

    def __init__(self, key: bytes, associated_data: bytes, layout: Layout) -> None:
        self.salt, self._prefix = os.urandom(SALT_SIZE), os.urandom(PREFIX_SIZE)
        self.header = bytes([STREAM_HEADER_SIZE]) + self.salt + self._prefix
        self._aead = AESGCM(derive.stream_key(key, self.salt, associated_data))
        self._layout = layout
        self._next: int | None = 0

    def seal(self, plain: Buffer, *, last: bool) -> bytes:
        """The next ciphertext segment, or several of them: all but the last are full, and that is never empty, but for
        the empty file. Raises RuntimeError for a caller that breaks this: a bug, never an input.
        """
        sealed = bytearray(self.sealed_length(len(plain)))
        self.seal_into(plain, sealed, last=last)
        return bytes(sealed)

    def sealed_length(self, plain: int) -> int:
        """Bytes that `plain` bytes will have when they are sealed next."""
        return plain + TAG_SIZE * self._layout.segments(plain - (STREAM_HEADER_SIZE if self._next else 0))

    def seal_into(self, plain: Buffer, room: bytearray | memoryview, *, last: bool) -> None:
        """`seal`, into memory of exactly `sealed_length`."""
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
        index, self._next = self._next, None if last else self._next + 1  # used up, whatever comes of it
        self._aead.encrypt_into(_nonce(self._prefix, index, last=last), plain, None, room)

    def _fits(self, size: int, index: int, *, last: bool) -> bool:
        full = self._layout.segment_plain(index)
        return size == full or (last and size < full and (size > 0 or index == 0))


class StreamOpener:
    """Opens the segments of one stream of known plaintext length, in any order."""

    __slots__ = ("_aead", "_layout", "_plain", "_prefix")

    def __init__(self, header: bytes, key: bytes, associated_data: bytes, layout: Layout, plain: int) -> None:
        """Raises IntegrityError for a header that is none."""
        if len(header) != STREAM_HEADER_SIZE or header[0] != STREAM_HEADER_SIZE:
            raise IntegrityError
        self._aead = AESGCM(derive.stream_key(key, header[1 : 1 + SALT_SIZE], associated_data))
        self._prefix = header[-PREFIX_SIZE:]
        self._layout = layout
        self._plain = plain

    @property
    def last(self) -> int:
        """Index of the final segment, the one whose tag proves the stream's end."""
        return self._layout.segments(self._plain) - 1

    def sealed_length(self, index: int) -> int:
        """Bytes of segment `index`, tag included."""
        return self._layout.segment_range(index, self._plain)[1]

    def open(self, index: int, sealed: Buffer) -> bytes:
        """The plaintext of segment `index`. Raises IntegrityError for a wrong size, place or bit."""
        if len(sealed) != self.sealed_length(index):
            raise IntegrityError
        try:
            return self._aead.decrypt(_nonce(self._prefix, index, last=index == self.last), sealed, None)
        except InvalidTag:
            raise IntegrityError from None


class SegmentCutter:
    """Gathers chunks of any size into runs of full plaintext segments, holding the last run back until `finish()`.

    A run is given out as a view of one of two buffers that take turns: it is good until the next but one. Of a small
    file only its own bytes are held.
    """

    __slots__ = ("_buffer", "_filled", "_layout", "_run", "_size", "_spare")

    def __init__(self, layout: Layout, run: int = 1) -> None:
        """`run` is how many segments are given out together."""
        self._layout, self._run = layout, run
        self._buffer, self._spare = bytearray(), bytearray()
        self._filled, self._size = 0, layout.segment_plain(0) + (run - 1) * layout.segment_plain(1)

    def feed(self, chunk: Buffer) -> Iterator[memoryview]:
        """The runs that are now full and known not to be the last."""
        left = memoryview(chunk)
        while left:
            if self._filled == self._size:
                yield self._full()
            piece = left[: self._size - self._filled]
            self._put(piece)
            left = left[len(piece) :]

    def finish(self) -> memoryview:
        """The last run: full if the length is an exact multiple, empty only for the empty file."""
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
            self._buffer += piece  # the first run: it grows with the file
        else:
            memoryview(self._buffer)[self._filled : self._filled + len(piece)] = piece
        self._filled += len(piece)


def _nonce(prefix: bytes, index: int, *, last: bool) -> bytes:
    return prefix + _NONCE_TAIL.pack(index, last)
