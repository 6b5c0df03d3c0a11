"""What goes from a target: backups beyond the newest few, blobs that no kept backup names, and what crashes left.

Comes in: a target that this portal may write to. Leaves: whole backups and their blobs. A backup's header goes first:
what is half removed is no backup. Next: `jobs`.
"""

from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from portal.backends.blobs.base import BlobStore
from portal.core.errors import IntegrityError
from portal.db.unit_of_work import Database
from portal.features.backups import catalogue, repository
from portal.features.backups.catalogue import OpenBackup
from portal.features.backups.parts import blob_keys
from portal.features.backups.targets import BLOBS, BUNDLES, SNAPSHOTS, stream_key
from portal.features.jobs.running import JobFailed
from portal.keyring.keyring import Keyring

_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many backups and blobs were removed, and how many backups are left."""

    backups: int
    blobs: int
    kept: int


@dataclass(frozen=True, slots=True)
class Pruning:
    """The removal of backups of one portal."""

    database: Database
    keyring: Keyring

    async def prune(self, target: BlobStore, keep: int) -> Pruned:
        """Keep the newest `keep` backups. Raises JobFailed while one cannot be opened: what it names is not known."""
        found = await catalogue.backups(target, self.keyring)
        if closed := [one for one in found if one.key is None]:
            raise JobFailed(f"{catalogue.named(closed[0])}: {closed[0].problem}")
        listed = [catalogue.as_open(one) for one in found]
        ids = list(dict.fromkeys(one.header.id for one in listed))
        gone = set(ids[keep:])
        for one in (one for one in listed if one.header.id in gone):
            await target.delete(one.header_key)
        async with self.database.read() as connection:
            known = await repository.known(connection, target.id)
        await self._forget(target, known.keys() - set(ids[:keep]))
        kept = list({one.header.id: one for one in listed if one.header.id not in gone}.values())
        return Pruned(len(gone), await self._remove_unnamed(target, kept), len(kept))

    async def settle(self, target: BlobStore) -> None:
        """Remove what is left of a backup that was cut off; of one that was whole by then, write it down.

        Nothing is removed while a header cannot be read: it could be that backup's.
        """
        found = await catalogue.backups(target, self.keyring)
        whole = {one.header.id: one.header for one in found if one.header is not None}
        async with self.database.read() as connection:
            unsettled = {key for key, under in (await repository.known(connection, target.id)).items() if under is None}
        for backup_id in unsettled & whole.keys():
            async with self.database.write() as connection:
                await repository.set_key(connection, backup_id, whole[backup_id].key.provider_key_id)
        if all(one.header is not None for one in found):
            await self._forget(target, unsettled - whole.keys())

    async def _forget(self, target: BlobStore, backup_ids: AbstractSet[UUID]) -> None:
        for backup_id in backup_ids:
            for kind in (SNAPSHOTS, BUNDLES):
                await target.delete(stream_key(kind, backup_id))
            async with self.database.write() as connection:
                await repository.remove(connection, backup_id)

    async def _remove_unnamed(self, target: BlobStore, kept: Sequence[OpenBackup]) -> int:
        named, removed = _SortedKeys(), 0
        for backup in kept:
            try:
                async with aclosing(blob_keys(target, backup, self.keyring)) as keys:
                    named = await named.merged(keys)
            except IntegrityError:
                text = f"header {backup.header_key} of backup {backup.header.id}: its snapshot is damaged or gone"
                raise JobFailed(text) from None
        async for key in target.list(BLOBS):
            if key not in named:
                await target.delete(key)
                removed += 1
        return removed


class _SortedKeys:
    """Many keys in order, of 16 bytes each."""

    def __init__(self) -> None:
        self._ids = bytearray()

    def __len__(self) -> int:
        return len(self._ids) // _ID_BYTES

    def __getitem__(self, at: int) -> bytes:
        return bytes(self._ids[at * _ID_BYTES : (at + 1) * _ID_BYTES])

    def __contains__(self, key: str) -> bool:
        wanted = bytes.fromhex(key)
        at = bisect_left(self, wanted)
        return at < len(self) and self[at] == wanted

    async def merged(self, keys: AsyncGenerator[str, None]) -> "_SortedKeys":
        """These and others, which come in order, too."""
        both, at = _SortedKeys(), 0
        async for key in keys:
            wanted = bytes.fromhex(key)
            while at < len(self) and self[at] < wanted:
                both._ids += self[at]
                at += 1
            at += at < len(self) and self[at] == wanted
            both._ids += wanted
        both._ids += self._ids[at * _ID_BYTES :]
        return both
