"""Opening: verified plaintext of a whole file or of a range, one segment at a time.

Comes in: a `SealedFile` whose record was verified, and its file keys. Leaves: plaintext of verified segments, in order.
 A whole read releases its last segment only after every head, length and tag was checked; a range first
proves the end of every part it touches.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from portal.backends.blobs.base import BlobStore
from portal.core.errors import IntegrityError
from portal.crypto import blob
from portal.crypto.layout import Layout
from portal.strongbox.model import SealedFile, SealedPart

_INLINE = 1 << 16  # a segment this small is opened where it stands


class Reader:
    """Reads one file. For one task at a time."""

    def __init__(self, store: BlobStore, layout: Layout, file: SealedFile, file_keys: Sequence[bytes]) -> None:
        self._store, self._layout, self._file = store, layout, file
        self._file_keys = file_keys

    async def read(self, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Plaintext bytes [start, start + length), inside the file. Raises IntegrityError, StoreAway."""
        if not 0 <= start <= start + length <= self._file.size:
            raise RuntimeError("a range outside the file")
        position = 0
        for part, file_key in zip(self._file.parts, self._file_keys, strict=True):
            begin, end = max(start, position), min(start + length, position + part.plain_length)
            if begin < end or part.plain_length == 0:
                async with aclosing(self._read_part(part, file_key, begin - position, end - begin)) as pieces:
                    async for plain in pieces:
                        yield plain
            position += part.plain_length

    async def _read_part(
        self, part: SealedPart, file_key: bytes, start: int, length: int
    ) -> AsyncGenerator[bytes, None]:
        opener = await self._opener(part, file_key)
        if length == 0:  # the empty file: its one segment still proves that nothing was cut off
            await self._open_one(part, opener, 0)
            return
        span = self._layout.span(start, length)
        if span.last < opener.last:
            await self._open_one(part, opener, opener.last)
        skip, left = span.skip, span.length
        async with aclosing(self._open_many(part, opener, span.first, span.last)) as segments:
            async for plain in segments:
                wanted = plain[skip : skip + left]
                skip, left = 0, left - len(wanted)
                yield wanted

    async def _opener(self, part: SealedPart, file_key: bytes) -> blob.BlobOpener:
        stat = await self._store.stat(part.key)
        if stat is None or stat.length != part.stored_length:
            raise IntegrityError
        if blob.plain_length(self._layout, stat.length) != part.plain_length:
            raise IntegrityError
        preamble = b"".join([piece async for piece in self._store.get(part.key, 0, blob.PREAMBLE_SIZE)])
        opener = blob.BlobOpener(preamble, part.place, file_key, self._layout, part.plain_length)
        if opener.commitment != part.commitment:
            raise IntegrityError
        return opener

    async def _open_one(self, part: SealedPart, opener: blob.BlobOpener, index: int) -> None:
        async for _ in self._open_many(part, opener, index, index):
            pass

    async def _open_many(
        self, part: SealedPart, opener: blob.BlobOpener, first: int, last: int
    ) -> AsyncGenerator[bytes, None]:
        start, _ = blob.segment_range(self._layout, first, part.plain_length)
        final, size = blob.segment_range(self._layout, last, part.plain_length)
        pieces = self._store.get(part.key, start, final + size - start)
        held = bytearray()
        async with aclosing(pieces):
            for index in range(first, last + 1):
                _, wanted = blob.segment_range(self._layout, index, part.plain_length)
                await _gather(pieces, held, wanted)
                yield await _open_segment(opener, index, _take(held, wanted))


async def _gather(pieces: AsyncGenerator[bytes, None], held: bytearray, wanted: int) -> None:
    """Until `held` has so many bytes. Raises IntegrityError where the store gives fewer than the blob has."""
    while len(held) < wanted:
        piece = await anext(pieces, b"")
        if not piece:
            raise IntegrityError
        held += piece


def _take(held: bytearray, size: int) -> bytes:
    """The first `size` bytes, which `held` lets go of."""
    taken = bytes(memoryview(held)[:size])
    del held[:size]
    return taken


async def _open_segment(opener: blob.BlobOpener, index: int, sealed: bytes) -> bytes:
    if len(sealed) <= _INLINE:
        return opener.open(index, sealed)
    return await asyncio.to_thread(opener.open, index, sealed)
