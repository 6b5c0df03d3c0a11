"""`memory:`: blobs in this process, lost when it ends. For tests: it passes the same contract as every other store."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from uuid import UUID

from portal.backends.blobs.base import BlobMissing, BlobStat, BlobWriter, ByteSpan, FillBuffer, StoreAway, T, checked
from portal.core.errors import IntegrityError

_PIECE = 1 << 20


class MemoryStore:
    """A `BlobStore` in memory, for tests."""

    scheme = "memory"
    exclusive_create = True
    reaps_unfinished = True
    id = UUID(int=0)  # always the same: a database that outlives the process knows which blobs are lost

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def __str__(self) -> str:
        return "memory"

    async def create(self, key: str) -> BlobWriter:
        if checked(key) in self.blobs:
            raise StoreAway
        return _MemoryWriter(self.blobs, key)

    async def get(
        self, key: str, spans: Sequence[ByteSpan], use: Callable[[memoryview], T], *, size: int | None = None
    ) -> AsyncGenerator[T, None]:
        blob = self.blobs.get(checked(key))
        if blob is None:
            raise BlobMissing
        if size not in {None, len(blob)}:
            raise IntegrityError
        for start, length in spans:
            end = min(start + length, len(blob))
            for at in range(start, end, _PIECE):
                yield use(memoryview(blob)[at : min(at + _PIECE, end)])

    async def stat(self, key: str) -> BlobStat | None:
        blob = self.blobs.get(checked(key))
        return None if blob is None else BlobStat(len(blob))

    async def delete(self, key: str) -> None:
        self.blobs.pop(checked(key), None)

    async def list(self, prefix: str = "") -> AsyncIterator[str]:
        for key in tuple(self.blobs):
            if key.startswith(prefix):
                yield key

    async def identify(self) -> UUID | None:
        return self.id

    async def found(self, _store_id: UUID) -> None:
        """Raises StoreAway: the store exists already."""
        raise StoreAway

    async def check(self) -> None:
        """No-op: memory is always available."""

    async def aclose(self) -> None:
        """No-op: there are no connections."""


class _MemoryWriter:
    def __init__(self, blobs: dict[str, bytes], key: str) -> None:
        self._blobs, self._key = blobs, key
        self._data = bytearray()

    async def write(self, size: int, make: FillBuffer) -> None:
        room = bytearray(size)
        await asyncio.to_thread(make, memoryview(room))
        self._data += room

    async def commit(self) -> None:
        if self._blobs.setdefault(self._key, data := bytes(self._data)) is not data:
            raise StoreAway

    async def abort(self) -> None:
        self._data.clear()
