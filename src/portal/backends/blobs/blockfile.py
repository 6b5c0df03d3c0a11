"""A new file that is written in blocks, and whose way to the disk begins at once. Blocks: call it in threads.

Comes in: bytes, piece by piece. Leaves: a file that is on the disk once `finish` returns. The bytes go through the page
cache, because a blob is often read right after it was written. The kernel is told to begin to write each block at once,
so that `finish` finds little left to wait for, and dirty pages do not pile up. Of a large file only the beginning and
the end stay in the cache: it would push out what others read, and new pages cost more than those that were just freed.
"""

import contextlib
import os
from collections.abc import Callable
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from pathlib import Path
from threading import Lock

BLOCK = 1 << 20  # bytes
KEPT = 256 << 20  # bytes of the beginning that stay in the page cache
DRAINED = 16 << 20  # bytes behind a block that have had the time to reach the disk


class BlockFile:
    """A file that is being written. Safe for several threads: `close` waits for a write in progress."""

    def __init__(self, path: Path, piece: int) -> None:
        """Create the file with mode 0600. `piece` is the greatest `size` of an `append`, in bytes.

        Raises FileExistsError, OSError.
        """
        # Untouched pages use no memory, and private ones take less to be touched than those that could be shared.
        self._memory = mmap(-1, BLOCK + piece, flags=MAP_PRIVATE | MAP_ANONYMOUS)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._filled = 0
        self._written = 0
        self._open = True
        self._lock = Lock()

    def holds(self, size: int) -> bool:
        """Whether an `append` of `size` bytes only fills memory, without a system call."""
        return self._filled + size < BLOCK

    def append(self, size: int, make: Callable[[memoryview], object]) -> None:
        """Append `size` bytes: `make` is called with a buffer of `size` bytes, and fills it.

        Raises OSError; ValueError if the file is closed; the errors of `make`.
        """
        with self._lock:
            self._check_open()
            with memoryview(self._memory)[self._filled : self._filled + size] as room:
                make(room)
            self._filled += size
            if self._filled >= BLOCK:
                self._write_blocks()

    def finish(self) -> None:
        """Write the remaining bytes, fsync the file and close it.

        Raises OSError, and the file is lost then; ValueError if the file is closed.
        """
        with self._lock:
            self._check_open()
            try:
                self._write(self._filled)
                os.fsync(self._descriptor)
            finally:
                self._close()

    def close(self) -> None:
        """Close the file without writing the remaining bytes. Idempotent."""
        with self._lock:
            self._close()

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError("the file is closed")

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._descriptor)
            with contextlib.suppress(BufferError):  # a failed `make` may still have a view: freed together with it
                self._memory.close()

    def _write_blocks(self) -> None:
        """Write the whole blocks; the bytes behind them move to the front of the memory. Blocks that did not begin with
        a page would lie in the cache in smaller pieces.
        """
        whole = self._filled - self._filled % BLOCK
        self._write(whole)
        self._memory.move(0, whole, self._filled - whole)
        self._filled -= whole
        _let_go(self._descriptor, self._written, whole)
        if self._written >= KEPT + DRAINED:
            _let_go(self._descriptor, self._written - DRAINED, whole)
        self._written += whole

    def _write(self, end: int) -> None:
        with memoryview(self._memory) as memory:
            start = 0
            while start < end:
                start += os.write(self._descriptor, memory[start:end])


def _let_go(descriptor: int, start: int, length: int) -> None:
    """Have the kernel begin to write what is dirty, without waiting for it, and drop what is on the disk already.

    POSIX_FADV_DONTNEED does either: a page that is not clean yet stays in the cache. It is advice: some systems lack
    it, and what it could not do, fsync does.
    """
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_DONTNEED)
