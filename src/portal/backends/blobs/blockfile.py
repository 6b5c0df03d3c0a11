"""A new file that is written in whole blocks, past the page cache (O_DIRECT, open(2)). For threads: it blocks.

Comes in: bytes, a piece at a time. Leaves: a file that is on the disk once `finish` returned. A blob is written once
and read much later, if ever: in the page cache it would cost a copy and push out what others read. The end of the file,
which fills no block, and file systems that know no O_DIRECT, go through the cache all the same.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from mmap import PAGESIZE, mmap
from pathlib import Path
from threading import Lock

BLOCK = 1 << 20  # bytes
_DIRECT: int = getattr(os, "O_DIRECT", 0)  # not every system has it


class BlockFile:
    """Safe for several threads: whoever closes it waits for a write that is under way."""

    def __init__(self, path: Path, piece: int) -> None:
        """`piece` is how many bytes one `append` has at most. The file is the owner's alone. Raises FileExistsError,
        OSError.
        """
        self._memory = mmap(-1, BLOCK + piece)  # aligned, as O_DIRECT wants it; pages that are not touched cost nothing
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._filled = 0
        self._direct: bool | None = None  # not tried yet
        self._open = True
        self._lock = Lock()

    def holds(self, size: int) -> bool:
        """Whether so many bytes more are taken without a call to the system."""
        return self._filled + size < BLOCK

    def append(self, size: int, make: Callable[[memoryview], object]) -> None:
        """Append `size` bytes that `make` puts into the memory it is handed.

        Raises OSError; ValueError once it is closed.
        """
        with self._lock:
            self._check_open()
            with memoryview(self._memory)[self._filled : self._filled + size] as room:
                make(room)
            self._filled += size
            if self._filled >= BLOCK:
                self._write_pages()

    def finish(self) -> None:
        """Write what is left, have the disk confirm all of it, and close.

        Raises OSError: the file is lost then; ValueError once it is closed.
        """
        with self._lock:
            self._check_open()
            try:
                self._be_direct(wanted=False)
                self._write(self._filled)
                os.fsync(self._descriptor)
            finally:
                self._close()

    def close(self) -> None:
        """Give the file up as it is. Idempotent."""
        with self._lock:
            self._close()

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError("the file is closed")

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._descriptor)
            with contextlib.suppress(BufferError):  # a `make` that failed may still hold a view: it goes with that
                self._memory.close()

    def _write_pages(self) -> None:
        """Write whole pages; what fills none is the beginning of the next."""
        if self._direct is None:
            self._be_direct(wanted=True)
        whole = self._filled - self._filled % PAGESIZE
        self._write(whole)
        self._memory.move(0, whole, self._filled - whole)
        self._filled -= whole

    def _write(self, end: int) -> None:
        with memoryview(self._memory) as memory:
            start = 0
            while start < end:
                start += self._put(memory[start:end])

    def _put(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            if error.errno != errno.EINVAL or not self._direct:
                raise
        self._be_direct(wanted=False)  # the flag was taken and the write was not, or the one before was cut short
        return os.write(self._descriptor, data)

    def _be_direct(self, *, wanted: bool) -> None:
        if not wanted and not self._direct:
            return
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL) & ~_DIRECT
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | (_DIRECT if wanted else 0))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            wanted = False
        self._direct = wanted
