"""Making a backup: a snapshot of the rows, then the blobs that it names, then a bundle of keys, then the header.

Comes in: a target that this portal may write to. Leaves: a whole backup, or nothing that is listed. The snapshot is
read back from the target to find its blobs: so it is verified, and no list of blobs is held in memory. A backup that
was cut off is begun anew with another snapshot, and copies no blob again that is there already. Next: `jobs`.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy import MetaData

from portal.backends.blobs.base import BlobMissing, BlobStore
from portal.core.errors import IntegrityError, Unavailable
from portal.core.ids import new_id
from portal.core.key_scopes import BACKUP
from portal.crypto.format import BlobContext
from portal.db.unit_of_work import Database
from portal.features.backups import bundle, copying, repository, snapshot
from portal.features.backups import header as headers
from portal.features.backups.catalogue import OpenBackup
from portal.features.backups.header import Header
from portal.features.backups.parts import Contents, rows
from portal.features.backups.targets import BUNDLES, SNAPSHOTS, new_header_key, put, stream_key
from portal.features.files import blob_rows
from portal.features.jobs.running import JobFailed
from portal.keyring.data_key import DataKey
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox import streams
from portal.strongbox.model import IN_ROW, SealedPart

NAMED: Final = 100
LAST: Final = "~"  # behind every key

Progress = Callable[[int], Awaitable[None]]


class BackupOvertaken(Unavailable):
    code, title = "backup_overtaken", "A file was deleted or sealed anew while it was being copied; it is tried again."


@dataclass(slots=True)
class Made:
    """What came of a backup. `key_id` is the master key that wraps its key. `blobs` are those that it names, `copied`
    those that were not at the target yet. `missing` are those that the portal itself has lost or damaged, `named` the
    first of them with their files.
    """

    id: UUID
    key_id: str
    blobs: int = 0
    copied: int = 0
    copied_bytes: int = 0
    missing: int = 0
    named: list[str] = field(default_factory=list)

    def lacks(self, part: SealedPart) -> None:
        self.missing += 1
        if len(self.named) < NAMED:
            self.named.append(f"{part.key} of file {part.context.file_id}")


@dataclass(frozen=True, slots=True)
class Creating:
    """The making of backups of one portal."""

    database: Database
    keyring: Keyring
    stores: Stores
    metadata: MetaData
    revision: str

    async def create(self, target: BlobStore, trusted: AsyncGenerator[str, None], progress: Progress) -> Made:
        """Make a backup. `trusted` are the keys of blobs, in order, that need not be compared where they are there.

        Raises JobFailed if a blob that is there differs; BackupOvertaken, Unavailable, StorageFull.
        """
        wrapped = await self.keyring.fresh(new_id(), BACKUP)
        key, made = await self.keyring.open(wrapped), Made(wrapped.id, wrapped.provider_key_id)
        async with self.database.write() as connection:  # before its first byte: what a crash leaves has a name
            await repository.add(connection, wrapped.id, target.id, wrapped.created_at)
        sealed = await self._seal_rows(target, key)
        lies = OpenBackup("", Header(wrapped, sealed, sealed), key)
        keys = await self._copy(target, lies, trusted, made, progress)
        header = Header(wrapped, sealed, keys)
        await put(target, new_header_key(), headers.encoded(header, key))
        return made

    async def _seal_rows(self, target: BlobStore, key: DataKey) -> SealedPart:
        context = BlobContext(key.id, UUID(hex=stream_key(SNAPSHOTS, key.id)))
        async with streams.sealing_into(target, context, key) as sealing, self.database.snapshot() as connection:
            tables = snapshot.travelling(self.metadata)
            async for lines in snapshot.read(connection, tables, self.revision):
                await sealing.write(lines)
            await sealing.finish()
            return await sealing.commit()

    async def _copy(
        self, target: BlobStore, lies: OpenBackup, trusted: AsyncGenerator[str, None], made: Made, progress: Progress
    ) -> SealedPart:
        """Copy the blobs of the snapshot, and seal the bundle on the way: it has the same rows."""
        context = BlobContext(made.id, UUID(hex=stream_key(BUNDLES, made.id)), 1)
        believed = _Trusted(trusted)
        async with streams.sealing_into(target, context, lies.key) as sealing:
            filtered = bundle.filtering(rows(target, lies), sealing.write)
            async with aclosing(Contents(self.keyring).parts(filtered)) as parts:
                async for part in parts:
                    if part.store != IN_ROW:
                        await self._keep(target, part, made, trusted=await believed.has(part.key))
                        await progress(made.blobs)
            await sealing.finish()
            return await sealing.commit()

    async def _keep(self, target: BlobStore, part: SealedPart, made: Made, *, trusted: bool) -> None:
        """Have one blob at the target. One that is there is compared, unless a whole backup has vouched for it."""
        made.blobs += 1
        try:
            stat = await target.stat(part.key)
            if stat is None:
                await copying.copy(self.stores.of(part.store), target, part.key, part.stored_length)
                made.copied, made.copied_bytes = made.copied + 1, made.copied_bytes + part.stored_length
            elif stat.length != part.stored_length or not (trusted or await self._same(target, part)):
                raise JobFailed(f"blob {part.key} at the target differs from the portal's: see docs/backup.md")
        except (BlobMissing, IntegrityError):
            if not await self._is_current(part):
                raise BackupOvertaken from None
            made.lacks(part)

    async def _same(self, target: BlobStore, part: SealedPart) -> bool:
        mine = await copying.digest_of(self.stores.of(part.store), part.key, part.stored_length)
        return mine == await copying.digest_of(target, part.key, part.stored_length)

    async def _is_current(self, part: SealedPart) -> bool:
        """Whether the row still says so: else the file was deleted or sealed anew, and its bytes went."""
        async with self.database.read() as connection:
            return await blob_rows.has_key(connection, part.context.blob_id)


class _Trusted:
    """Whether a key is among others. Both come in order, so neither is held in memory."""

    def __init__(self, keys: AsyncGenerator[str, None]) -> None:
        self._keys, self._at = keys, ""

    async def has(self, key: str) -> bool:
        while self._at < key:
            self._at = await anext(self._keys, LAST)
        return self._at == key
