"""`file://PATH`: blobs in a folder of this machine. The only door to `aiofiles`.

    PATH/tmp/KEY            a blob being written: mode 0600, opened O_EXCL, so that one key has one writer
    PATH/blobs/XY/KEY       a blob; XY are the last two digits of the key

Commit is fsync(file), rename, fsync(both folders): after it the blob survives a power cut under this one name, before
it nobody sees it. A crash leaves at most these two names, which `delete(KEY)` removes. A failed fsync of a file is
never tried again: the kernel may have dropped the pages it could not write, so the blob is given up.
"""

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO

from portal.backends.blobs.base import MAX_WRITE, BlobMissing, BlobStat, Make, StoreAway, checked, is_key
from portal.backends.blobs.blockfile import BlockFile
from portal.core.errors import StorageFull
from portal.core.tasks import kept, uninterrupted

_PIECE = 2 << 20  # two segments
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_BLOB = {errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO}  # absent, or something else in its place

_T = TypeVar("_T")


class LocalStore:
    """See `BlobStore`."""

    label = "file"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ready = False

    async def create(self, key: str) -> "_LocalWriter":
        return await kept(self._begin(key), _LocalWriter.abort)

    async def _begin(self, key: str) -> "_LocalWriter":
        temp, final = self._temp(key), self._final(key)
        with _translated():
            return _LocalWriter(await asyncio.to_thread(_claim, temp, final), temp, final)

    async def get(self, key: str, start: int, length: int, use: Callable[[memoryview], _T]) -> AsyncGenerator[_T, None]:
        path, end = self._final(key), start + length
        with _translated(missing=_NO_BLOB):
            file = await kept(_open(path, start), _close)
            reading = None
            try:
                room = memoryview(bytearray(min(length, _PIECE)))
                while start < end:
                    work = asyncio.to_thread(_read, file.fileno(), start, room[: end - start], use)
                    reading = asyncio.ensure_future(work)
                    found = await asyncio.shield(reading)
                    if found is None:
                        break
                    count, used = found
                    start += count
                    yield used
            finally:
                await uninterrupted(_close_behind(reading, file))  # a cancelled scope would cancel this too

    async def stat(self, key: str) -> BlobStat | None:
        with _translated():
            try:
                found = await asyncio.to_thread(os.lstat, self._final(key))
            except FileNotFoundError:
                return None
        return BlobStat(found.st_size) if stat.S_ISREG(found.st_mode) else None

    async def delete(self, key: str) -> None:
        temp, final = self._temp(key), self._final(key)
        with _translated():
            await asyncio.to_thread(_remove_durably, temp, final)

    async def list(self, prefix: str = "") -> AsyncIterator[str]:
        for shard in _shards():
            with _translated():
                names = await asyncio.to_thread(os.listdir, self._root / "blobs" / shard)
            for name in names:
                if name.startswith(prefix) and is_key(name):
                    yield name

    async def check(self) -> None:
        with _translated():
            await asyncio.to_thread(self._check)

    async def aclose(self) -> None:
        """No file stays open between calls."""

    def _check(self) -> None:
        if not self._ready:
            _make_folders(self._root)
            self._ready = True
        if not os.access(self._root / "tmp", os.W_OK | os.X_OK):
            raise StoreAway

    def _temp(self, key: str) -> Path:
        return self._root / "tmp" / checked(key)

    def _final(self, key: str) -> Path:
        return self._root / "blobs" / checked(key)[-2:] / key


class _LocalWriter:
    def __init__(self, file: BlockFile, temp: Path, final: Path) -> None:
        self._file, self._temp, self._final = file, temp, final
        self._committing = False

    async def write(self, size: int, make: Make) -> None:
        with _translated():
            if self._file.holds(size):
                self._file.append(size, make)
            else:
                await asyncio.to_thread(self._file.append, size, make)

    async def commit(self) -> None:
        self._committing = True
        with _translated():
            await uninterrupted(asyncio.to_thread(_publish, self._file, self._temp, self._final))

    async def abort(self) -> None:
        if not self._committing:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(_discard, self._file, self._temp)


async def _close_behind(reading: "asyncio.Future[Any] | None", file: AsyncFileIO) -> None:
    """Close once no thread reads any more: its descriptor's number may be another file's at once."""
    if reading is not None:
        await asyncio.wait([reading])
    await file.close()


async def _open(path: Path, start: int) -> AsyncFileIO:
    return await aiofiles.open(path, "rb", buffering=0, opener=partial(_open_regular, start))


async def _close(file: AsyncFileIO) -> None:
    await file.close()


def _read(descriptor: int, start: int, room: memoryview, use: Callable[[memoryview], _T]) -> tuple[int, _T] | None:
    """How many bytes there were, and what `use` made of them; None behind the end."""
    count = os.preadv(descriptor, [room], start)
    return (count, use(room[:count])) if count else None


def _claim(temp: Path, final: Path) -> BlockFile:
    """The file for a key that is free."""
    file = BlockFile(temp, MAX_WRITE)
    try:
        if not final.exists():  # we hold the key's only temp name: no race
            return file
    except OSError:
        _discard(file, temp)
        raise
    _discard(file, temp)
    raise StoreAway


def _discard(file: BlockFile, temp: Path) -> None:
    file.close()
    temp.unlink(missing_ok=True)


def _open_regular(start: int, path: str, _flags: int) -> int:
    # O_NONBLOCK: a FIFO put in a blob's place must not hang its reader.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if regular and hasattr(os, "posix_fadvise"):  # from a disk it is far faster
            os.posix_fadvise(descriptor, start, 0, os.POSIX_FADV_SEQUENTIAL)
    except BaseException:
        os.close(descriptor)
        raise
    if not regular:
        os.close(descriptor)
        raise BlobMissing
    return descriptor


def _publish(file: BlockFile, temp: Path, final: Path) -> None:
    try:
        file.finish()
    except OSError:
        _discard(file, temp)  # not renamed yet: its room is free again
        raise
    temp.rename(final)
    _sync_folder(final.parent)
    _sync_folder(temp.parent)  # not every file system moves a name in one step


def _remove_durably(temp: Path, final: Path) -> None:
    for path in (temp, final):
        path.unlink(missing_ok=True)
        _sync_folder(path.parent)  # also where nothing was: whoever removed it may have been cut off here


def _make_folders(root: Path) -> None:
    for folder in (root, root / "tmp", root / "blobs", *(root / "blobs" / shard for shard in _shards())):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (root / "blobs", root, root.parent):
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shards() -> Iterator[str]:
    return (f"{number:02x}" for number in range(256))


@contextmanager
def _translated(*, missing: AbstractSet[int] = frozenset()) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull from error
        if error.errno in missing:
            raise BlobMissing from error
        raise StoreAway from error
