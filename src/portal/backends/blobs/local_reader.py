"""Reading of spans of one file, about two mebibytes per call into a thread. Comes in: a path, spans. Leaves: results.

`read` is a generator whose steps run in threads. `results` takes these steps from the event loop, one step ahead of its
caller; it closes the file also if its caller fails or is cancelled.
"""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from portal.backends.blobs.base import BlobMissing, ByteSpan
from portal.core.errors import IntegrityError
from portal.core.tasks import shielded

_PIECE = 2 << 20  # bytes, two segments: about as much as one call into a thread reads
_T = TypeVar("_T")


async def results(
    pieces: Generator[list[_T], None, list[_T]], errors: AbstractContextManager[None]
) -> AsyncGenerator[_T, None]:
    """Yield the results of `read` one by one. `errors` maps the exceptions that `read` raises.

    While the caller uses those of one step, the next step is under way.
    """
    loop = asyncio.get_running_loop()
    with errors:
        reading, more = loop.run_in_executor(None, _advance, pieces), True
        try:
            while more:
                used, more = await asyncio.shield(reading)
                if more:
                    reading = loop.run_in_executor(None, _advance, pieces)
                for piece in used:
                    yield piece
        finally:
            if more:
                await shielded(_close_behind(reading, pieces))  # a cancelled scope would cancel this too


def read(
    path: Path, spans: Sequence[ByteSpan], use: Callable[[memoryview], _T], size: int | None
) -> Generator[list[_T], None, list[_T]]:
    """The results of `use` for the pieces, as one list per call into a thread. Blocks.

    Every list but the last is yielded. The last one is returned, after the file was closed: so no extra call into a
    thread is needed to close it.
    """
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


async def _close_behind(reading: "asyncio.Future[Any]", pieces: Generator[Any, None, Any]) -> None:
    """Close the file after the read in progress. Closing it earlier could make the thread read another file, because
    the kernel reuses the number of a closed descriptor at once.
    """
    await asyncio.wait([reading])
    reading.exception()  # marks it as retrieved: the caller has left
    await asyncio.to_thread(pieces.close)


def _advance(pieces: Generator[list[_T], None, list[_T]]) -> tuple[list[_T], bool]:
    """The next results, and whether more follow. If not, the file is closed."""
    try:
        return next(pieces), True
    except StopIteration as ended:
        return ended.value, False


def _open_regular(path: Path, size: int | None) -> int:
    # O_NONBLOCK: a FIFO in a blob's place must not block its reader.
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
    """Have the kernel read ahead: from a disk that is far faster. A short read would only fetch unneeded bytes."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
