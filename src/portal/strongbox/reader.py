"""Opening: verified plaintext of a whole file or of a range, a segment at a time, one run of them ahead.

Comes in: a `SealedFile` whose record was verified, and its file keys. Leaves: plaintext of verified segments, in order.
A whole read releases its last segment only after every head, length and tag was checked; a range first proves the end
of every part it touches. What the store gives in one piece is verified whole before any of it leaves.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

from portal.backends.blobs.base import BlobStore
from portal.core.errors import IntegrityError
from portal.core.tasks import uninterrupted
from portal.crypto import blob
from portal.crypto.layout import STREAM_HEADER_SIZE, Layout
from portal.strongbox.in_row import source_of
from portal.strongbox.model import SealedFile, SealedPart

_T = TypeVar("_T")


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
        stat = await source_of(part, self._store).stat(part.key)
        if stat is None or stat.length != part.stored_length:
            raise IntegrityError
        if blob.plain_length(self._layout, stat.length) != part.plain_length:
            raise IntegrityError
        preamble = b"".join(
            [piece async for piece in source_of(part, self._store).get(part.key, 0, blob.PREAMBLE_SIZE, bytes)]
        )
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
        """Segments `first` to `last`; while some are used, the next are read and opened."""
        start, _ = blob.segment_range(self._layout, first, part.plain_length)
        final, size = blob.segment_range(self._layout, last, part.plain_length)
        lead = STREAM_HEADER_SIZE if first == 0 else 0  # read along, so that pieces end where segments do
        opening = _Opening(opener, first, lead)
        pieces = source_of(part, self._store).get(part.key, start - lead, final + size - start + lead, opening.feed)
        async with aclosing(one_ahead(pieces)) as runs:
            async for run in runs:
                for plain in run:
                    yield plain
        if opening.next <= last:
            raise IntegrityError  # the store gives fewer bytes than the blob has


class _Opening:
    """Opens segments from `next` on, out of pieces of any size. For one thread at a time."""

    def __init__(self, opener: blob.BlobOpener, first: int, lead: int) -> None:
        """`lead` bytes in front of segment `first` come first, and are nothing to it."""
        self._opener, self.next, self._lead = opener, first, lead
        self._held = bytearray()

    def feed(self, piece: memoryview) -> list[bytes]:
        """The segments that are whole now. Raises IntegrityError."""
        plain: list[bytes] = []
        while piece:
            wanted = self._lead + self._opener.sealed_length(self.next) - len(self._held)
            front, piece = piece[:wanted], piece[wanted:]
            if len(front) < wanted or self._held:
                self._held += front
            if len(front) == wanted:
                plain.append(self._opener.open(self.next, (self._held or front)[self._lead :]))
                self._held, self._lead, self.next = bytearray(), 0, self.next + 1
        return plain


async def one_ahead(items: AsyncGenerator[_T, None]) -> AsyncGenerator[_T, None]:
    """The same items; while one is used, the next is being made."""
    coming = asyncio.ensure_future(anext(items, None))
    try:
        while (item := await coming) is not None:
            coming = asyncio.ensure_future(anext(items, None))
            await asyncio.sleep(0)  # it begins now, not when it is waited for
            yield item
    finally:
        await uninterrupted(_ended(coming, items))  # a cancelled scope would cancel this too


async def _ended(coming: "asyncio.Future[_T | None]", items: AsyncGenerator[_T, None]) -> None:
    coming.cancel()
    await asyncio.wait([coming])
    if not coming.cancelled():
        coming.exception()  # looked at: nobody asked for it any more
    await items.aclose()
