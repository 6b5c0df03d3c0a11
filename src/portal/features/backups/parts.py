"""The blobs that a snapshot names: each row of `blobs` whose file can be opened, as a `SealedPart`.

Comes in: a backup at its target. Leaves: its rows, or its parts in the order of their ids; and the data keys that open
them. Next: `creating`, `verifying`, `restoring`, `pruning`.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from portal.backends.blobs.base import BlobStore
from portal.core.errors import IntegrityError
from portal.crypto.format import BlobContext
from portal.features.authz.relation import CaseStatus
from portal.features.backups.catalogue import OpenBackup
from portal.features.backups.lines import Head, Rows, read
from portal.keyring.data_key import DataKey
from portal.keyring.keyring import Keyring
from portal.keyring.repository import WrappedDataKey
from portal.stores.stores import Stores
from portal.strongbox import streams
from portal.strongbox.model import IN_ROW, SealedPart

_KNOWN = ("data_key_id", "wrapped_key", "commitment", "plain_length", "stored_length")


async def rows(store: BlobStore, backup: OpenBackup) -> AsyncGenerator[Head | Rows, None]:
    """Everything in the snapshot. Raises IntegrityError, also for a last line that is missing; StoreAway."""
    pieces = streams.opened(Stores([store]), replace(backup.header.snapshot, store=store.id.hex), backup.key)
    async with aclosing(pieces):
        async for found in read(pieces):
            yield found


def part_of(row: Mapping[str, Any]) -> SealedPart | None:
    """The part that a row of `blobs` is; None where it was never sealed, or its key is destroyed."""
    if any(row[name] is None for name in _KNOWN):
        return None
    context = BlobContext(row["file_id"], row["id"], row["part"], row["key_generation"])
    values = {name: row[name] for name in _KNOWN}
    return SealedPart(context=context, store=row["store"], content=row["content"], **values)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a snapshot has, as far as it was read. `data_keys` are all there before the first part.

    `_shredded` are the shredded cases, and the files in them that their job has not reached: the keys of those are
    gone, so no part is theirs.
    """

    keyring: Keyring
    data_keys: dict[UUID, WrappedDataKey] = field(default_factory=dict)
    _shredded: set[UUID] = field(default_factory=set)

    async def parts(self, found: AsyncGenerator[Head | Rows, None]) -> AsyncGenerator[SealedPart, None]:
        """The parts among the rows. Raises IntegrityError."""
        async with aclosing(found):
            async for some in found:
                if isinstance(some, Rows):
                    self._learn(some)
                    for part in map(part_of, some.rows if some.table == "blobs" else ()):
                        if part is not None and part.context.file_id not in self._shredded:
                            yield part

    def _learn(self, some: Rows) -> None:
        if some.table == "data_keys":
            self.add_keys(some)
        elif some.table == "cases":
            self._shredded.update(row["id"] for row in some.rows if row["status"] == CaseStatus.SHREDDED.value)
        elif some.table == "files":
            self._shredded.update(row["id"] for row in some.rows if row["case_id"] in self._shredded)

    def add_keys(self, some: Rows) -> None:
        for row in some.rows:
            values = {name: row[name] for name in WrappedDataKey.__slots__ if name in row}
            self.data_keys[row["id"]] = WrappedDataKey(**values)

    async def key_of(self, part: SealedPart) -> DataKey:
        """The key that opens a part. Raises IntegrityError if the snapshot lacks it; KeyProviderError."""
        if part.data_key_id not in self.data_keys:
            raise IntegrityError
        return await self.keyring.open(self.data_keys[part.data_key_id])


async def blob_keys(target: BlobStore, backup: OpenBackup, keyring: Keyring) -> AsyncGenerator[str, None]:
    """The keys of the blobs in a store that a backup names, in order. Raises IntegrityError, StoreAway."""
    async with aclosing(Contents(keyring).parts(rows(target, backup))) as parts:
        async for part in parts:
            if part.store != IN_ROW:
                yield part.key


def lies_in(part: SealedPart, store: BlobStore) -> SealedPart:
    """The part as it lies in this store; one that lies in its row stays there."""
    return part if part.store == IN_ROW else replace(part, store=store.id.hex)
