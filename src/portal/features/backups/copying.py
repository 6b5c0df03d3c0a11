"""Copying one blob from store to store, as it is, sealed. A copy counts when it was read back and is the same.

Comes in: the key of a blob and its length. Leaves: the blob in the other store. Memory for some pieces is all it takes.
Next: `creating`, `restoring`.
"""

import contextlib
from collections.abc import Callable
from contextlib import aclosing
from hashlib import sha256
from typing import Any

from portal.backends.blobs.base import MAX_WRITE, BlobStore, BlobWriter, StoreAway, copy_of
from portal.core.errors import IntegrityError, Unavailable
from portal.core.tasks import shielded


class CopyDiffers(Unavailable):
    code, title = "copy_differs", "What was read back is not what was written; it is tried again."


async def copy(source: BlobStore, target: BlobStore, key: str, length: int) -> None:
    """Copy a blob that the target does not have, and compare. Raises CopyDiffers, after which the copy is removed;
    BlobMissing, or IntegrityError if its length is another one, of the source; StorageFull, StoreAway.
    """
    digest = await transfer(source, target, key, length)
    if await _copied(target, key, length) != digest:
        await target.delete(key)
        raise CopyDiffers


async def transfer(source: BlobStore, target: BlobStore, key: str, length: int) -> bytes:
    """Copy a blob without a look at the copy. Returns the SHA-256 of what was read. Raises as `copy`."""
    digest = sha256()
    writer = await _begun(target, key)
    try:
        async with aclosing(source.get(key, [(0, length)], _digested(digest), size=length)) as pieces:
            async for piece in pieces:
                for start in range(0, len(piece), MAX_WRITE):
                    some = piece[start : start + MAX_WRITE]
                    await writer.write(len(some), copy_of(some))
        await writer.commit()
    finally:
        await shielded(writer.abort())  # does nothing after the commit
    return digest.digest()


async def _copied(target: BlobStore, key: str, length: int) -> bytes | None:
    with contextlib.suppress(IntegrityError):
        return await digest_of(target, key, length)
    return None


async def digest_of(store: BlobStore, key: str, length: int) -> bytes:
    """The SHA-256 of a stored blob. Raises BlobMissing, IntegrityError if its length is another one, StoreAway."""
    digest = sha256()
    async with aclosing(store.get(key, [(0, length)], digest.update, size=length)) as pieces:
        async for _ in pieces:
            pass
    return digest.digest()


async def _begun(target: BlobStore, key: str) -> BlobWriter:
    """A writer of the blob. What a copy left that was killed is removed first."""
    try:
        return await target.create(key)
    except StoreAway:
        await target.delete(key)
        return await target.create(key)


def _digested(digest: Any) -> Callable[[memoryview], bytes]:
    """A copy of a piece, which is part of the digest then. It is called in order, in a thread."""

    def use(piece: memoryview) -> bytes:
        digest.update(piece)
        return bytes(piece)

    return use
