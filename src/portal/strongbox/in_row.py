"""The bytes that came with a part's row, read as a store is read.

Comes in: a part. Leaves: where its bytes are. Next: `reader`.
"""

from collections.abc import AsyncGenerator, Callable

from portal.backends.blobs.base import BlobSource, BlobStat, BlobStore, T
from portal.strongbox.model import SealedPart


class InRow:
    """See `BlobSource`: of one blob."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def get(self, _key: str, start: int, length: int, use: Callable[[memoryview], T]) -> AsyncGenerator[T, None]:
        piece = memoryview(self._content)[start : start + length]
        if piece:
            yield use(piece)

    async def stat(self, _key: str) -> BlobStat:
        return BlobStat(len(self._content))


def source_of(part: SealedPart, store: BlobStore) -> BlobSource:
    """Where the part's bytes are read."""
    return store if part.content is None else InRow(part.content)
