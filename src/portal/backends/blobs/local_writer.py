"""The writer of a blob in a local store. Comes in: an unused key. Leaves: a blob, or nothing.

A commit is fsync(file), rename, fsync(both folders). A failed fsync of a file is never repeated: the kernel may have
dropped the pages that it could not write. The blob is discarded instead.
"""

import asyncio
import contextlib
from pathlib import Path

from portal.backends.blobs.base import MAX_WRITE, FillBuffer, StoreAway
from portal.backends.blobs.blockfile import BlockFile
from portal.backends.blobs.local_folders import sync_folder, translated
from portal.core.tasks import shielded


class LocalWriter:
    """A `BlobWriter` into a local store."""

    def __init__(self, file: BlockFile, temp: Path, final: Path) -> None:
        self._file, self._temp, self._final = file, temp, final
        self._committing = False

    @classmethod
    def begin(cls, temp: Path, final: Path) -> "LocalWriter":
        """Create the temporary file. Blocks: call it in a thread. Raises StoreAway if the key is taken; OSError."""
        file = BlockFile(temp, MAX_WRITE)
        try:
            if not final.exists():  # no race: this writer has the key's only temporary name
                return cls(file, temp, final)
        except OSError:
            _discard(file, temp)
            raise
        _discard(file, temp)
        raise StoreAway

    async def write(self, size: int, make: FillBuffer) -> None:
        with translated():
            if self._file.holds(size):
                self._file.append(size, make)
            else:
                await asyncio.to_thread(self._file.append, size, make)

    async def commit(self) -> None:
        self._committing = True
        with translated():
            await shielded(asyncio.to_thread(_publish, self._file, self._temp, self._final))

    async def abort(self) -> None:
        if not self._committing:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(_discard, self._file, self._temp)


def _publish(file: BlockFile, temp: Path, final: Path) -> None:
    try:
        file.finish()
    except OSError:
        _discard(file, temp)  # not renamed yet: free its disk space
        raise
    temp.rename(final)
    sync_folder(final.parent)
    sync_folder(temp.parent)  # on some file systems a rename between folders is not one step


def _discard(file: BlockFile, temp: Path) -> None:
    file.close()
    temp.unlink(missing_ok=True)
