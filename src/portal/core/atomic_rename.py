"""Giving a finished file its name. Comes in: a file that is whole and synced. Leaves: the same under its final name."""

import errno
from pathlib import Path

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def rename_new(temporary: Path, target: Path) -> None:
    """Rename, but never over a file that appeared meanwhile: raises FileExistsError.

    Where a file system knows no hard links (FAT, some network mounts) the check and the rename are two steps.
    """
    try:
        target.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, "File exists", str(target)) from None
        temporary.rename(target)
    else:
        temporary.unlink()
