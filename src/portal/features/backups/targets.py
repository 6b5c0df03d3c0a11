"""The targets of backups: blob stores that have nothing else. What is in one is told by the first digit of its key.

    e…   a header: 31 random digits follow
    d…   a snapshot, b… a bundle: the rest is the id of the backup, without its first digit
    0…   a blob of a file, under the key that it has in the portal's own store

A backup is whole once its header is there, which is written last. Comes in: a URL. Leaves: a store that this portal may
write to, or one to read from. Next: `creating`, `pruning`, `catalogue`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from portal.backends.blobs.base import BlobStore, copy_of
from portal.core.errors import Conflict
from portal.core.ids import new_id
from portal.db.unit_of_work import Database
from portal.features.backups import repository
from portal.stores import repository as known_stores

BLOBS: Final = "0"
HEADERS: Final = "e"
SNAPSHOTS: Final = "d"
BUNDLES: Final = "b"

OpenStore = Callable[[str], BlobStore]
"""Opens the store of a URL. Raises ConfigError."""


class TargetRefused(Conflict):
    code, title = "backup_target_refused", "This place is not a target of this portal's backups."


def stream_key(kind: str, backup_id: UUID) -> str:
    """The key of a backup's snapshot or bundle."""
    return kind + backup_id.hex[1:]


def new_header_key() -> str:
    return HEADERS + new_id().hex[1:]


@dataclass(frozen=True, slots=True)
class Targets:
    """The way to the targets of one portal."""

    database: Database
    open_store: OpenStore

    @asynccontextmanager
    async def writable(self, url: str) -> AsyncIterator[BlobStore]:
        """A target of this portal; an empty place becomes one. Raises TargetRefused for a store of the portal itself or
        a target of another; ConfigError, StoreAway, StorageFull, DatabaseAway.
        """
        async with aclosing(self.open_store(url)) as store:
            found = await store.identify()
            if found is None:
                await self._make(store)
            else:
                await self._require_own(found)
            await store.check()
            yield store

    @asynccontextmanager
    async def readable(self, url: str) -> AsyncIterator[BlobStore]:
        """Any target that is there: whose backups these are, their keys tell. Raises TargetRefused, as `writable`."""
        async with aclosing(self.open_store(url)) as store:
            if await store.identify() is None:
                raise TargetRefused("There is no backup here.")
            yield store

    async def _make(self, store: BlobStore) -> None:
        target_id = new_id()
        async with self.database.write() as connection:  # first: a crash must not leave a target that nobody knows
            await repository.add_target(connection, target_id)
        await store.found(target_id)

    async def _require_own(self, found: UUID) -> None:
        async with self.database.read() as connection:
            if found in await known_stores.known(connection):
                raise TargetRefused("This is a blob store of the portal itself: backups belong somewhere else.")
            if not await repository.is_target(connection, found):
                raise TargetRefused("This is a blob store or a backup target of another portal.")


async def put(store: BlobStore, key: str, content: bytes) -> None:
    """Store a few bytes in one step. Raises StorageFull, StoreAway."""
    writer = await store.create(key)
    try:
        await writer.write(len(content), copy_of(content))
        await writer.commit()
    finally:
        await writer.abort()  # does nothing after the commit


async def get(store: BlobStore, key: str, most: int) -> bytes:
    """The first bytes, at most `most`. Raises BlobMissing, StoreAway."""
    async with aclosing(store.get(key, [(0, most)], bytes)) as pieces:
        return b"".join([piece async for piece in pieces])
