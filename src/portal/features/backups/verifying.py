"""Proving that a backup is whole: every row can be read, every blob is there, and every bit of it is as it was sealed.

Comes in: a backup at its target. Leaves: counts, and each blob that is missing or damaged, by name. Nothing that is
opened is kept. Next: `service`.
"""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from portal.backends.blobs.base import BlobMissing, BlobStore
from portal.core.errors import IntegrityError
from portal.features.backups.catalogue import OpenBackup
from portal.features.backups.lines import read
from portal.features.backups.parts import Contents, lies_in, rows
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox import streams
from portal.strongbox.model import SealedPart

_NAMED: Final = 100


@dataclass(slots=True)
class Verified:
    """What was found of one backup. `named` has the first of the blobs, or of its own streams, that are not whole."""

    id: UUID
    blobs: int = 0
    bytes: int = 0
    bad: int = 0
    named: list[str] = field(default_factory=list)

    def refuse(self, what: str) -> None:
        self.bad += 1
        if len(self.named) < _NAMED:
            self.named.append(what)


async def verify(target: BlobStore, backup: OpenBackup, keyring: Keyring, progress: Callable[[int], None]) -> Verified:
    """Open everything that a backup has. Raises KeyProviderError, StoreAway."""
    found, contents = Verified(backup.header.id), Contents(keyring)
    try:
        async with aclosing(contents.parts(rows(target, backup))) as parts:
            async for part in parts:
                found.blobs, found.bytes = found.blobs + 1, found.bytes + part.stored_length
                if (why := await wrong_with(target, part, contents)) is not None:
                    found.refuse(why)
                progress(part.stored_length)
    except IntegrityError:
        found.refuse(f"snapshot {backup.header.snapshot.key} is damaged")
    if not await _bundle_opens(target, backup):
        found.refuse(f"bundle {backup.header.bundle.key} is damaged")
    return found


async def wrong_with(store: BlobStore, part: SealedPart, contents: Contents) -> str | None:
    """What is wrong with a blob in this store, or in its row; None if every bit is right."""
    try:
        await streams.verify(Stores([store]), lies_in(part, store), await contents.key_of(part))
    except BlobMissing:
        return f"blob {part.key} of file {part.context.file_id} is missing"
    except IntegrityError:
        return f"blob {part.key} of file {part.context.file_id} is damaged"
    return None


async def _bundle_opens(target: BlobStore, backup: OpenBackup) -> bool:
    pieces = streams.opened(Stores([target]), backup.header.bundle, backup.key)
    try:
        async with aclosing(pieces):
            async for _ in read(pieces):
                pass
    except IntegrityError:
        return False
    return True
