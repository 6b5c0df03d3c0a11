"""A sealed stream: Google Tink's AES-GCM-HKDF streaming AEAD, byte for byte (`docs/format.md` 2).

Comes in: plaintext segments cut by `SegmentCutter`, a key, associated data. Leaves: ciphertext segments, and back.
`StreamSealer` takes no salt or prefix from its caller and never seals an index twice; `StreamOpener` releases nothing
before its tag verified. Each is for one thread at a time; AES-GCM itself releases the GIL. Next: `blob`.
"""

import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portal.core.errors import IntegrityError
from portal.crypto import derive
from portal.crypto.layout import PREFIX_SIZE, SALT_SIZE, STREAM_HEADER_SIZE, Layout

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

    def seal(self, plain: bytes, *, last: bool) -> bytes:
        """The next ciphertext segment: all but the last are full, the last is empty only if it is the only one.

        Raises RuntimeError for a caller that breaks this: a bug, never an input.
        """
        if self._next is None or not self._fits(len(plain), self._next, last=last):
            raise RuntimeError("segment out of order or of the wrong size")
        sealed = self._aead.encrypt(_nonce(self._prefix, self._next, last=last), plain, None)
        self._next = None if last else self._next + 1
        return sealed

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

    def open(self, index: int, sealed: bytes) -> bytes:
        """The plaintext of segment `index`. Raises IntegrityError for a wrong size, place or bit."""
        if len(sealed) != self._layout.segment_range(index, self._plain)[1]:
            raise IntegrityError
        try:
            return self._aead.decrypt(_nonce(self._prefix, index, last=index == self.last), sealed, None)
        except InvalidTag:
            raise IntegrityError from None


class SegmentCutter:
    """Gathers chunks of any size into full plaintext segments, holding the last back until `finish()`."""

    __slots__ = ("_held", "_index", "_layout")

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._held = bytearray()
        self._index = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The segments that are now full and known not to be the last. Holds at most one segment and this chunk."""
        self._held += chunk
        full: list[bytes] = []
        while len(self._held) > (size := self._layout.segment_plain(self._index)):
            full.append(bytes(memoryview(self._held)[:size]))
            del self._held[:size]
            self._index += 1
        return full

    def finish(self) -> bytes:
        """The last segment: full if the length is an exact multiple, empty only for the empty file."""
        return bytes(self._held)


def _nonce(prefix: bytes, index: int, *, last: bool) -> bytes:
    return prefix + _NONCE_TAIL.pack(index, last)
