"""The backups at a target, as their headers say. Comes in: a store, and the keyring. Leaves: `Backup`s, newest first.

A header is believed once the key provider has opened its key and the MAC under that key is right. Next: everything that
reads a backup.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from portal.backends.blobs.base import BlobStore
from portal.backends.keys.base import KeyProviderError
from portal.core.errors import Conflict, IntegrityError, NotFound
from portal.db.reasons import reason
from portal.features.backups import header as headers
from portal.features.backups.header import Header
from portal.features.backups.targets import HEADERS, get
from portal.keyring.data_key import DataKey
from portal.keyring.keyring import Keyring

DAMAGED: Final = "its header is damaged"


class BackupUnopened(Conflict):
    code, title = "backup_unopened", "The backup cannot be opened."


class RestoreRefused(Conflict):
    code, title = "restore_refused", "The backup cannot be restored here."


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup whose header is there. `problem` says why it cannot be opened; then `key` is None, and so is `header`
    where it is not even readable. `header_key` is the header's own key in the store.
    """

    header_key: str
    header: Header | None
    key: DataKey | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class OpenBackup:
    """A backup that can be opened."""

    header_key: str
    header: Header
    key: DataKey


async def backups(store: BlobStore, keyring: Keyring) -> list[Backup]:
    """Every backup at the target, newest first; those that cannot be opened come last. Raises StoreAway."""
    found = [await _read(store, keyring, name) async for name in store.list(HEADERS)]
    return sorted(
        found, key=lambda one: one.header.created_at.timestamp() if one.header and one.key else 0, reverse=True
    )


async def opened(store: BlobStore, keyring: Keyring, backup_id: UUID | None = None) -> OpenBackup:
    """The newest backup, or the one that is named.

    Raises NotFound, BackupUnopened, StoreAway. Without an id it also refuses while any header does not open: that could
    be the newest.
    """
    found = await backups(store, keyring)
    if backup_id is not None:
        found = [one for one in found if one.header is not None and one.header.id == backup_id]
    closed = [one for one in found if one.key is None]
    if closed and (backup_id is None or len(closed) == len(found)):
        raise BackupUnopened(f"{named(closed[0])}: {closed[0].problem}. Name another one with --backup.")
    if not found:
        raise NotFound
    return as_open(found[0])


def as_open(backup: Backup) -> OpenBackup:
    """Raises IntegrityError for a backup that cannot be opened."""
    if backup.header is None or backup.key is None:
        raise IntegrityError
    return OpenBackup(backup.header_key, backup.header, backup.key)


def named(backup: Backup) -> str:
    whose = "" if backup.header is None else f" of backup {backup.header.id}"
    return f"header {backup.header_key}{whose}"


async def _read(store: BlobStore, keyring: Keyring, name: str) -> Backup:
    header = None
    try:
        line = await get(store, name, headers.MOST_BYTES)
        header = headers.decoded(line, store.id.hex)
        key = await keyring.open(header.key)
        headers.check(line, key)
    except KeyProviderError as error:
        missing = error.missing and f"the master key {error.missing} is not configured"
        return Backup(name, header, None, missing or f"its key does not open: {reason(error)}")
    except IntegrityError:
        return Backup(name, header, None, DAMAGED)
    return Backup(name, header, key)
