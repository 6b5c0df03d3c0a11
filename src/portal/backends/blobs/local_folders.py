"""The folders of a local store (`local` draws them): the paths of a key's files, and durable changes of the folders.

Everything except `temp` and `final` blocks: call it in a thread. Comes in: keys. Leaves: paths, and folders whose
changes survive a power cut. Next: `local`, `local_writer`.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from portal.backends.blobs import identity
from portal.backends.blobs.base import StoreAway, checked
from portal.core.errors import StorageFull

SHARDS = tuple(f"{number:02x}" for number in range(256))
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class LocalFolders:
    """The folders of one store."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def temp(self, key: str) -> Path:
        """The path of a blob that is being written. A key has only this one."""
        return self.root / "tmp" / checked(key)

    def final(self, key: str) -> Path:
        return self.root / "blobs" / checked(key)[-2:] / key

    def make(self, store_id: UUID) -> None:
        """Create the folders, then the id. Safe to repeat after a crash: a folder without an id is not a store.

        Raises StoreAway if there is a store already.
        """
        if identity.read(self.root) is not None:
            raise StoreAway
        blobs = self.root / "blobs"
        for folder in (self.root, self.root / "tmp", blobs, *(blobs / shard for shard in SHARDS)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (blobs, self.root, self.root.parent):
            sync_folder(folder)
        identity.write(self.root, store_id)
        sync_folder(self.root)

    def remove(self, key: str) -> None:
        """Remove the key's blob and its temporary file. Idempotent."""
        for path in (self.temp(key), self.final(key)):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)  # also if there was none: a process that removed it may have ended before its sync

    def require(self, store_id: UUID) -> None:
        """Raises StoreAway if the store's volume is no longer mounted, or another one is mounted in its place."""
        if identity.read(self.root) != store_id:
            raise StoreAway

    def check(self, store_id: UUID) -> None:
        """Raises StoreAway unless this is the store `store_id`, and new files can be created in it."""
        self.require(store_id)
        if not os.access(self.root / "tmp", os.W_OK | os.X_OK):
            raise StoreAway


def sync_folder(folder: Path) -> None:
    """Write the folder to disk (fsync): once this returns, the names in it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def translated() -> Iterator[None]:
    """Map an OSError to StorageFull or StoreAway."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull from error
        raise StoreAway from error
