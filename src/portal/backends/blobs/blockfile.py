"""A new file that is written in whole blocks, past the page cache (O_DIRECT, open(2)). Blocks: call it in threads.

Comes in: bytes, piece by piece. Leaves: a file that is on the disk once `finish` returns. A blob is written once and
read much later, if ever. In the page cache it would cost a copy, and evict pages that readers use. The last bytes of
the file, which fill no block, go through the cache; so does the whole file on file systems without O_DIRECT.
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
_DIRECT: int = getattr(os, "O_DIRECT", 0)  # some systems have none


class BlockFile:
    """A file that is being written. Safe for several threads: `close` waits for a write in progress."""

    def __init__(self, path: Path, piece: int) -> None:
        """Create the file with mode 0600. `piece` is the greatest `size` of an `append`, in bytes.

        Raises FileExistsError, OSError.
        """
        self._memory = mmap(-1, BLOCK + piece)  # aligned, as O_DIRECT demands; untouched pages use no memory
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._filled = 0
        self._direct: bool | None = None  # not tried yet
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
                self._write_pages()

    def finish(self) -> None:
        """Write the remaining bytes, fsync the file and close it.

        Raises OSError, and the file is lost then; ValueError if the file is closed.
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

    def _write_pages(self) -> None:
        """Write the whole pages; the bytes after them move to the front of the memory."""
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
        self._be_direct(wanted=False)  # O_DIRECT was accepted but not this write, or a short write broke the alignment
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
