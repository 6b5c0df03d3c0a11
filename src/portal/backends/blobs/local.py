"""`file://PATH`: blobs in a folder of this machine. The only module that uses `aiofiles`.

    PATH/store.json         the store's id (`identity`); a folder without it is not a store
    PATH/tmp/KEY            a blob being written: mode 0600, opened with O_EXCL, so that one key has one writer
    PATH/blobs/XY/KEY       a blob; XY are the last two digits of the key

After a commit (`local_writer`) the blob survives a power cut, under its final name only. Before the commit it is not
visible. A crash leaves at most these two names, and `delete(KEY)` removes both.
"""

import asyncio
import errno
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import aiofiles.os

from portal.backends.blobs import identity, local_reader
from portal.backends.blobs.base import BlobMissing, BlobStat, ByteSpan, is_key
from portal.backends.blobs.local_folders import SHARDS, LocalFolders, translated
from portal.backends.blobs.local_writer import LocalWriter
from portal.core.tasks import acquire_or_release

_NO_BLOB = {errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO}  # absent, or something else in its place
_T = TypeVar("_T")


class LocalStore:
    """A `BlobStore` in a folder."""

    scheme = "file"
    exclusive_create = True
    reaps_unfinished = True

    def __init__(self, root: Path) -> None:
        self.folders = LocalFolders(root)
        self._id: UUID | None = None

    @property
    def id(self) -> UUID:
        if self._id is None:
            raise RuntimeError("a store that was not identified")
        return self._id

    def __str__(self) -> str:
        return f"file, {self.folders.root}"

    async def identify(self) -> UUID | None:
        with translated():
            self._id = await asyncio.to_thread(identity.read, self.folders.root)
        return self._id

    async def found(self, store_id: UUID) -> None:
        with translated():
            await asyncio.to_thread(self.folders.make, store_id)
        self._id = store_id

    async def create(self, key: str) -> LocalWriter:
        return await acquire_or_release(self._begin(key), LocalWriter.abort)

    async def _begin(self, key: str) -> LocalWriter:
        temp, final = self.folders.temp(key), self.folders.final(key)
        with translated():
            return await asyncio.to_thread(self._begun, temp, final)

    def _begun(self, temp: Path, final: Path) -> LocalWriter:
        self.folders.require(self.id)  # else the blob would go to another volume
        return LocalWriter.begin(temp, final)

    def get(
        self, key: str, spans: Sequence[ByteSpan], use: Callable[[memoryview], _T], *, size: int | None = None
    ) -> AsyncGenerator[_T, None]:
        pieces = local_reader.read(self.folders.final(key), spans, use, size)
        return local_reader.results(pieces, self._missing_is_damage())

    async def stat(self, key: str) -> BlobStat | None:
        with translated():
            try:
                found = await aiofiles.os.stat(self.folders.final(key), follow_symlinks=False)
            except FileNotFoundError:
                self.folders.require(self.id)
                return None
        return BlobStat(found.st_size) if stat.S_ISREG(found.st_mode) else None

    async def delete(self, key: str) -> None:
        with translated():
            await asyncio.to_thread(self.folders.remove, key)

    async def list(self, prefix: str = "") -> AsyncIterator[str]:
        for shard in SHARDS:
            with translated():
                names = await aiofiles.os.listdir(self.folders.root / "blobs" / shard)
            for name in names:
                if name.startswith(prefix) and is_key(name):
                    yield name

    async def check(self) -> None:
        with translated():
            await asyncio.to_thread(self.folders.check, self.id)

    async def aclose(self) -> None:
        """No-op: no file stays open between calls."""

    @contextmanager
    def _missing_is_damage(self) -> Iterator[None]:
        """Map errors of a read: BlobMissing if this store has no such blob, StoreAway if the store is unavailable."""
        with translated():
            try:
                yield
            except OSError as error:
                if error.errno not in _NO_BLOB:
                    raise
                self.folders.require(self.id)
                raise BlobMissing from error
