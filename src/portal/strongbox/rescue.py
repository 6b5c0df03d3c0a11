"""Rescue: opens a blob with its file key alone. It needs no database, no server and no settings.

Comes in: the blob's path and a file key. Leaves: a new file with the whole verified plaintext, or no file at all.
"""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from portal.core.atomic_rename import rename_new
from portal.core.errors import IntegrityError
from portal.crypto import blob
from portal.crypto.format import HEAD_SIZE, BlobContext, read_context
from portal.crypto.layout import PRODUCTION, Layout


def rescue(
    source: Path, file_key: bytes, target: Path, *, progress: Callable[[int], None], layout: Layout = PRODUCTION
) -> int:
    """Open `source` into `target`. Returns the plaintext length in bytes. Blocks.

    `progress` is called with the number of bytes of each segment that was read. `target` must not exist; it appears
    only after everything was verified. Raises IntegrityError, FileExistsError, OSError.
    """
    if target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.rescue")
    with source.open("rb") as sealed:
        pieces = segments(sealed, os.fstat(sealed.fileno()).st_size, file_key, progress, layout)
        try:
            with _create(temporary) as out:
                size = sum(out.write(plain) for plain in pieces)
                out.flush()
                os.fsync(out.fileno())
            rename_new(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    return size


def context_of(source: Path, layout: Layout = PRODUCTION) -> BlobContext:
    """The blob that a file claims to be. Raises IntegrityError, OSError."""
    with source.open("rb") as sealed:
        return read_context(sealed.read(HEAD_SIZE), layout.segment)


def segments(
    sealed: BinaryIO, length: int, file_key: bytes, progress: Callable[[int], None], layout: Layout = PRODUCTION
) -> Iterator[bytes]:
    """The plaintext of a blob of `length` bytes, from where the file is to its end. Raises IntegrityError, OSError."""
    plain = blob.plain_length(layout, length)
    preamble = sealed.read(blob.PREAMBLE_SIZE)
    context = read_context(preamble[:HEAD_SIZE], layout.segment)
    opener = blob.BlobOpener(preamble, context, file_key, layout, plain)
    for index in range(opener.last + 1):
        segment = sealed.read(blob.segment_range(layout, index, plain)[1])
        yield opener.open(index, segment)
        progress(len(segment))
    if sealed.read(1):
        raise IntegrityError  # the blob grew while it was read


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")
