"""The folders of a local store (`local` draws them): where a key's files are, and what makes or removes them for good.

For threads: everything but a path blocks. Comes in: keys. Leaves: paths, and folders that a power cut leaves as they
are. Next: `local`, `local_writer`.
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
    """Those of one store."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def temp(self, key: str) -> Path:
        """Of a blob being written: the only such name of its key."""
        return self.root / "tmp" / checked(key)

    def final(self, key: str) -> Path:
        return self.root / "blobs" / checked(key)[-2:] / key

    def make(self, store_id: UUID) -> None:
        """The id comes last: what was cut off here is no store, and is made again. Raises StoreAway for a second."""
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
        """Whatever has the key, finished or not."""
        for path in (self.temp(key), self.final(key)):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)  # also where nothing was: the process that removed it may have been cut off here

    def require(self, store_id: UUID) -> None:
        """Raises StoreAway where the volume is not mounted any more, or another one is."""
        if identity.read(self.root) != store_id:
            raise StoreAway

    def check(self, store_id: UUID) -> None:
        """Raises StoreAway unless this is the store, and takes new files."""
        self.require(store_id)
        if not os.access(self.root / "tmp", os.W_OK | os.X_OK):
            raise StoreAway


def sync_folder(folder: Path) -> None:
    """The names in it are on the disk once this returned."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def translated() -> Iterator[None]:
    """An OSError is a store that is full or away."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull from error
        raise StoreAway from error
