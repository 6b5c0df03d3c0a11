"""`file://PATH`: blobs in a folder of this machine. The only door to `aiofiles`.

    PATH/store.json         the store's id (`identity`); a folder without it is no store
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
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import aiofiles.os

from portal.backends.blobs import identity
from portal.backends.blobs.base import (
    MAX_WRITE,
    BlobMissing,
    BlobStat,
    ByteSpan,
    FillBuffer,
    StoreAway,
    checked,
    is_key,
)
from portal.backends.blobs.blockfile import BlockFile
from portal.core.errors import IntegrityError, StorageFull
from portal.core.tasks import acquire_or_release, shielded

_PIECE = 2 << 20  # two segments; a call into a thread reads about as much
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_BLOB = {errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO}  # absent, or something else in its place

_T = TypeVar("_T")


class LocalStore:
    """See `BlobStore`."""

    scheme = "file"
    exclusive_create = True
    reaps_unfinished = True

    def __init__(self, root: Path) -> None:
        self._root = root
        self._id: UUID | None = None

    @property
    def id(self) -> UUID:
        if self._id is None:
            raise RuntimeError("a store that was not identified")
        return self._id

    async def identify(self) -> UUID | None:
        with _translated():
            self._id = await asyncio.to_thread(identity.read, self._root)
        return self._id

    async def found(self, store_id: UUID) -> None:
        with _translated():
            await asyncio.to_thread(_make_store, self._root, store_id)
        self._id = store_id

    async def create(self, key: str) -> "_LocalWriter":
        return await acquire_or_release(self._begin(key), _LocalWriter.abort)

    async def _begin(self, key: str) -> "_LocalWriter":
        temp, final = self._temp(key), self._final(key)
        with _translated():
            return _LocalWriter(await asyncio.to_thread(self._claimed, temp, final), temp, final)

    def _claimed(self, temp: Path, final: Path) -> BlockFile:
        self._require_identity()  # else it would lie in another's volume
        return _claim(temp, final)

    async def get(
        self, key: str, spans: Sequence[ByteSpan], use: Callable[[memoryview], _T], *, size: int | None = None
    ) -> AsyncGenerator[_T, None]:
        pieces, loop = _read(self._final(key), spans, use, size), asyncio.get_running_loop()
        reading, more = None, True
        with self._missing_is_damage():
            try:
                while more:
                    reading = loop.run_in_executor(None, _advance, pieces)
                    used, more = await asyncio.shield(reading)
                    for piece in used:
                        yield piece
            finally:
                if more:
                    await shielded(_close_behind(reading, pieces))  # a cancelled scope would cancel this too

    async def stat(self, key: str) -> BlobStat | None:
        with _translated():
            try:
                found = await aiofiles.os.stat(self._final(key), follow_symlinks=False)
            except FileNotFoundError:
                self._require_identity()
                return None
        return BlobStat(found.st_size) if stat.S_ISREG(found.st_mode) else None

    async def delete(self, key: str) -> None:
        temp, final = self._temp(key), self._final(key)
        with _translated():
            await asyncio.to_thread(_remove_durably, temp, final)

    async def list(self, prefix: str = "") -> AsyncIterator[str]:
        for shard in _shards():
            with _translated():
                names = await aiofiles.os.listdir(self._root / "blobs" / shard)
            for name in names:
                if name.startswith(prefix) and is_key(name):
                    yield name

    async def check(self) -> None:
        with _translated():
            await asyncio.to_thread(self._check)

    async def aclose(self) -> None:
        """No file stays open between calls."""

    def _check(self) -> None:
        self._require_identity()
        if not os.access(self._root / "tmp", os.W_OK | os.X_OK):
            raise StoreAway

    def _require_identity(self) -> None:
        """Raises StoreAway where the volume is not mounted any more, or another one is."""
        if identity.read(self._root) != self.id:
            raise StoreAway

    @contextmanager
    def _missing_is_damage(self) -> Iterator[None]:
        """Raises BlobMissing for a blob that is not in this store; but StoreAway where this store is not there."""
        with _translated():
            try:
                yield
            except OSError as error:
                if error.errno not in _NO_BLOB:
                    raise
                self._require_identity()
                raise BlobMissing from error

    def _temp(self, key: str) -> Path:
        return self._root / "tmp" / checked(key)

    def _final(self, key: str) -> Path:
        return self._root / "blobs" / checked(key)[-2:] / key


class _LocalWriter:
    def __init__(self, file: BlockFile, temp: Path, final: Path) -> None:
        self._file, self._temp, self._final = file, temp, final
        self._committing = False

    async def write(self, size: int, make: FillBuffer) -> None:
        with _translated():
            if self._file.holds(size):
                self._file.append(size, make)
            else:
                await asyncio.to_thread(self._file.append, size, make)

    async def commit(self) -> None:
        self._committing = True
        with _translated():
            await shielded(asyncio.to_thread(_publish, self._file, self._temp, self._final))

    async def abort(self) -> None:
        if not self._committing:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(_discard, self._file, self._temp)


async def _close_behind(reading: "asyncio.Future[Any] | None", pieces: Generator[Any, None, Any]) -> None:
    """Close once no thread reads any more: its descriptor's number may be another file's at once."""
    if reading is not None:
        await asyncio.wait([reading])
    await asyncio.to_thread(pieces.close)


def _advance(pieces: Generator[list[_T], None, list[_T]]) -> tuple[list[_T], bool]:
    """The next results, and whether there is more to read: if not, the file is closed."""
    try:
        return next(pieces), True
    except StopIteration as ended:
        return ended.value, False


def _read(
    path: Path, spans: Sequence[ByteSpan], use: Callable[[memoryview], _T], size: int | None
) -> Generator[list[_T], None, list[_T]]:
    """What `use` makes of the pieces: a list for each call into a thread, the last one returned when all is closed."""
    left = sum(length for _, length in spans)
    room, used, pause = memoryview(bytearray(min(left, _PIECE))), [], left - _PIECE
    descriptor = _open_regular(path, size)
    try:
        if pause > 0:
            _read_ahead(descriptor)
        for piece in _pieces(descriptor, spans, room):
            used.append(use(piece))
            left -= len(piece)
            if 0 < left <= pause:
                yield used
                used, pause = [], left - _PIECE
    finally:
        os.close(descriptor)
    return used


def _pieces(descriptor: int, spans: Sequence[ByteSpan], room: memoryview) -> Iterator[memoryview]:
    for start, length in spans:
        at, end = start, start + length
        while at < end and (count := os.preadv(descriptor, [room[: end - at]], at)):
            yield room[:count]
            at += count


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


def _open_regular(path: Path, size: int | None) -> int:
    # O_NONBLOCK: a FIFO put in a blob's place must not hang its reader.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check_regular(os.fstat(descriptor), size)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(found: os.stat_result, size: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BlobMissing
    if size not in {None, found.st_size}:
        raise IntegrityError


def _read_ahead(descriptor: int) -> None:
    """From a disk it is far faster; for a little it would only fetch what nobody asked for."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)


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


def _make_store(root: Path, store_id: UUID) -> None:
    """The id comes last: what was cut off here is no store, and is made again."""
    if identity.read(root) is not None:
        raise StoreAway
    for folder in (root, root / "tmp", root / "blobs", *(root / "blobs" / shard for shard in _shards())):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (root / "blobs", root, root.parent):
        _sync_folder(folder)
    identity.write(root, store_id)
    _sync_folder(root)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shards() -> Iterator[str]:
    return (f"{number:02x}" for number in range(256))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull from error
        raise StoreAway from error
