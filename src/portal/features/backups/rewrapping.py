"""Wrapping the keys of backups anew, under the newest version of the first master key.

Comes in: a target that this portal may write to. Leaves: new headers; no snapshot and no blob changes. The new header
is there before the old one goes: a backup is listed throughout. Next: `jobs`.
"""

from dataclasses import dataclass, replace

from portal.backends.blobs.base import BlobStore
from portal.db.unit_of_work import Database
from portal.features.backups import catalogue, repository
from portal.features.backups import header as headers
from portal.features.backups.catalogue import Backup
from portal.features.backups.targets import new_header_key, put
from portal.keyring.keyring import Keyring
from portal.keyring.repository import NewestKey


@dataclass(slots=True)
class Rewrapped:
    """How many backups were wrapped anew, and those that could not be opened."""

    backups: int
    left: list[str]


@dataclass(frozen=True, slots=True)
class HeaderRewrapping:
    """The rewrapping of the backups of one portal."""

    database: Database
    keyring: Keyring

    async def rewrap(self, target: BlobStore) -> Rewrapped:
        """Rewrap every backup that anything but the newest key wraps. Safe to repeat. Raises Unavailable."""
        newest, done = await self.keyring.newest(), Rewrapped(0, [])
        for backup in await catalogue.backups(target, self.keyring):
            if backup.key is None:
                done.left.append(f"{catalogue.named(backup)}: {backup.problem}")
            elif _is_outdated(backup, newest):
                await self._rewrap(target, backup)
                done.backups += 1
        return done

    async def _rewrap(self, target: BlobStore, backup: Backup) -> None:
        opened = catalogue.as_open(backup)
        wrapped = await self.keyring.rewrap(opened.header.key)
        header = replace(opened.header, key=wrapped)
        await put(target, new_header_key(), headers.encoded(header, opened.key))
        async with self.database.write() as connection:
            await repository.set_key(connection, header.id, wrapped.provider_key_id)
        await target.delete(opened.header_key)


def _is_outdated(backup: Backup, newest: NewestKey) -> bool:
    key = catalogue.as_open(backup).header.key
    return (key.provider_key_id, key.head) != (newest.provider_key_id, newest.head)
