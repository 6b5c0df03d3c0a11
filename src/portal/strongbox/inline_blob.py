"""Inline blobs: small blobs that lie in the row of their part, written and read through the ports of a blob store.

Comes in: a part. Leaves: the source of its bytes, the row or a store. Next: `sealing` writes, `reader` reads.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from portal.backends.blobs.base import BlobSource, BlobStat, ByteSpan, FillBuffer, T
from portal.core.errors import IntegrityError
from portal.crypto.blob import PREAMBLE_SIZE
from portal.stores.stores import Stores
from portal.strongbox.model import IN_ROW, SealedPart


class InlineWriter:
    """A `BlobWriter` that gathers one small blob in memory. The blob is as durable as the row that takes `content`."""

    def __init__(self) -> None:
        self._gathered = bytearray()

    @property
    def content(self) -> bytes:
        """The bytes written so far."""
        return bytes(self._gathered)

    async def write(self, size: int, make: FillBuffer) -> None:
        room = bytearray(size)
        if size <= PREAMBLE_SIZE:
            make(memoryview(room))  # so few bytes take less time than waking a thread
        else:
            await asyncio.to_thread(make, memoryview(room))
        self._gathered += room

    async def commit(self) -> None:
        """The row's transaction is the commit."""

    async def abort(self) -> None:
        self._gathered.clear()


class InlineBlob:
    """A `BlobSource` of one blob, whatever the key."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def get(
        self, _key: str, spans: Sequence[ByteSpan], use: Callable[[memoryview], T], *, size: int | None = None
    ) -> AsyncGenerator[T, None]:
        if size not in {None, len(self._content)}:
            raise IntegrityError
        for start, length in spans:
            if piece := memoryview(self._content)[start : start + length]:
                yield use(piece)

    async def stat(self, _key: str) -> BlobStat:
        return BlobStat(len(self._content))


def blob_source(part: SealedPart, stores: Stores) -> BlobSource:
    """The source that has the part's bytes.

    Raises StoreAway if the part's store is not configured, IntegrityError if the row claims content that it lacks.
    """
    if part.content is not None:
        return InlineBlob(part.content)
    if part.store == IN_ROW:
        raise IntegrityError  # an edited row: it claims an inline blob, and has none
    return stores.of(part.store)
