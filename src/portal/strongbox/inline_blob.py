"""The bytes that came with a part's row, read as a store is read.

Comes in: a part. Leaves: where its bytes are. Next: `reader`.
"""

from collections.abc import AsyncGenerator, Callable, Sequence

from portal.backends.blobs.base import BlobSource, BlobStat, ByteSpan, T
from portal.core.errors import IntegrityError
from portal.stores.stores import Stores
from portal.strongbox.model import IN_ROW, SealedPart


class InlineBlob:
    """See `BlobSource`: of one blob."""

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
    """Where the part's bytes are read. Raises StoreAway where its store is not configured, IntegrityError."""
    if part.content is not None:
        return InlineBlob(part.content)
    if part.store == IN_ROW:
        raise IntegrityError  # an edited row: it says that it has what it has not
    return stores.of(part.store)
