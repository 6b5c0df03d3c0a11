"""Sealed streams that are no files, as the parts of a backup are: sealed and opened as any blob, under a key at hand.

Comes in: a blob store, a `DataKey`, and chunks. Leaves: a blob of the sealed-file format and its `SealedPart`; or the
verified plaintext of a blob. Next: `features/backups`.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from portal.backends.blobs.base import BlobStore
from portal.core.tasks import shielded
from portal.crypto import wrap
from portal.crypto.format import BlobContext
from portal.crypto.layout import MAX_PLAIN, PRODUCTION
from portal.keyring.data_key import DataKey
from portal.stores.stores import Stores
from portal.strongbox.model import SealedFile, SealedPart
from portal.strongbox.observers import Observers
from portal.strongbox.reader import Reader
from portal.strongbox.sealing import Sealing


@asynccontextmanager
async def sealing_into(store: BlobStore, context: BlobContext, key: DataKey) -> AsyncIterator[Sealing]:
    """Seal one blob into `store`, as `Strongbox.sealing` does. Raises StorageFull, StoreAway."""
    writer = await store.create(context.blob_id.hex)
    sealing = Sealing(context, key, PRODUCTION, writer, store.id.hex, Observers(()), MAX_PLAIN)
    try:
        await sealing.begin()
        yield sealing
    finally:
        if not sealing.committed:
            await shielded(sealing.abort())


async def opened(stores: Stores, part: SealedPart, key: DataKey) -> AsyncGenerator[memoryview, None]:
    """The plaintext of one blob, wherever it lies, in pieces that are verified. Raises IntegrityError, StoreAway."""
    file_key = wrap.unwrap_file_key(part.wrapped_key, key.key, key.id, part.context)
    alone = SealedFile(part.context.file_id, key.scope, key.id, part.plain_length, b"", b"", (part,))
    reader = Reader(stores, PRODUCTION, alone, [file_key])
    async with aclosing(reader.read(0, part.plain_length)) as pieces:
        async for piece in pieces:
            yield piece


async def verify(stores: Stores, part: SealedPart, key: DataKey) -> None:
    """Open every segment of a blob, and keep nothing. Raises IntegrityError, StoreAway."""
    async with aclosing(opened(stores, part, key)) as pieces:
        async for _ in pieces:
            pass
