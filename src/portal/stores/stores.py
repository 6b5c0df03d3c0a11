"""The blob stores of one portal: the first takes new blobs, all are read.

Comes in: the configured stores, and the stores that the database knows. Leaves: the store of a part. The portal refuses
to start with a store that is missing or belongs to another portal, so an unmounted volume never looks like damage.
Next: `strongbox`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from portal.backends.blobs.base import BlobStore, StoreAway
from portal.core import log
from portal.core.errors import ConfigError
from portal.core.ids import new_id
from portal.db.unit_of_work import Database
from portal.stores import repository

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class StoreUse:
    """A store that the database knows. `there`: it is configured and mounted; else its blobs cannot be read.

    `writes`: it takes new blobs. `blobs` is the number of its blobs.
    """

    id: UUID
    scheme: str
    there: bool
    writes: bool
    blobs: int


class Stores:
    """The configured stores, in the order of PORTAL_BLOB_URLS. Safe for concurrent use."""

    def __init__(self, stores: Sequence[BlobStore]) -> None:
        self._stores = tuple(stores)

    def __iter__(self) -> Iterator[BlobStore]:
        return iter(self._stores)

    @property
    def first(self) -> BlobStore:
        """The store that takes new blobs."""
        return self._stores[0]

    def of(self, store_id: str) -> BlobStore:
        """The store with this id (hex, as in a blob's row). Raises StoreAway if it is not configured: not damage."""
        for store in self._stores:
            if store.id.hex == store_id:
                return store
        _log.error("blob_store_not_configured", store=store_id)
        raise StoreAway

    async def establish(self, database: Database) -> None:
        """If the database knows no store yet, add every configured store; a store without an id gets one.

        Blobs that were stored before stores had ids are assigned to the first store of their scheme. Idempotent.
        Raises ConfigError, StoreAway, StorageFull, DatabaseAway.
        """
        async with database.read() as connection:
            new = not await repository.known(connection)
        if new:
            await self.add_missing(database)
        async with database.write() as connection:
            first = {scheme: store_id for store_id, scheme in reversed((await repository.known(connection)).items())}
            for scheme, store_id in first.items():
                await repository.adopt(connection, store_id, scheme)

    async def add_missing(self, database: Database) -> list[UUID]:
        """Give an id to each configured store that has none, and add every store that the database does not know.

        Returns the ids of the added stores. Safe to repeat after a crash. Raises ConfigError while a known store with
        blobs is missing: its volume may not be mounted, and its empty folder would become a new store. Raises
        StoreAway, StorageFull, DatabaseAway.
        """
        missing = [use for use in await self.uses(database) if use.blobs and not use.there]
        if missing:
            raise ConfigError(*(f"store {use.id} has {use.blobs} blobs and is not there: mount it" for use in missing))
        async with database.read() as connection:
            known = await repository.known(connection)
        added = []
        for store in self._stores:
            store_id = await store.identify()
            if store_id is None:
                await store.found(store_id := new_id())
            if store_id not in known:
                async with database.write() as connection:
                    await repository.add(connection, store_id, store.scheme)
                added.append(store_id)
        return added

    async def recognise(self, database: Database) -> None:
        """Identify every configured store, so that `of` can find it.

        Raises ConfigError unless the database knows all of them, and each is configured once; StoreAway, DatabaseAway.
        A known store that is not configured is logged as a warning.
        """
        async with database.read() as connection:
            known = await repository.known(connection)
        found = [await store.identify() for store in self._stores]
        numbered = enumerate(zip(self._stores, found, strict=True), 1)
        problems = [_problem(n, store, told, known) for n, (store, told) in numbered if told not in known]
        if len(set(found)) < len(found):
            problems.append("PORTAL_BLOB_URLS names one store twice")
        if problems:
            raise ConfigError(*problems)
        for store_id in known.keys() - set(found):
            _log.warning("blob_store_not_configured", store=store_id.hex)

    async def uses(self, database: Database) -> list[StoreUse]:
        """Every store that the database knows, available or not. Raises DatabaseAway."""
        async with database.read() as connection:
            known, counts = await repository.known(connection), await repository.counts(connection)
        found = [await _identified(store) for store in self._stores]
        return [
            StoreUse(store_id, scheme, store_id in found, store_id == found[0], counts.get(store_id.hex, 0))
            for store_id, scheme in known.items()
        ]

    async def check(self) -> None:
        """Raises StoreAway unless blobs could be written to and read from every store now."""
        for store in self._stores:
            await store.check()

    async def aclose(self) -> None:
        """Close connections. Idempotent."""
        for store in self._stores:
            await store.aclose()


async def _identified(store: BlobStore) -> UUID | None:
    try:
        return await store.identify()
    except StoreAway:
        return None


def _problem(number: int, store: BlobStore, store_id: UUID | None, known: dict[UUID, str]) -> str:
    which = f"PORTAL_BLOB_URLS, entry {number} ({store})"
    if store_id is not None:
        return f"{which} is store {store_id}, which this database does not know: is it another portal's?"
    if known:
        return f"{which} holds no store: is the volume mounted? For a new store, see `portal stores add`"
    return f"{which} holds no store yet: run `portal db upgrade`"
