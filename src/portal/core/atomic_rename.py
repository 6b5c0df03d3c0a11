"""The atomic rename of a complete, synced temporary file to its final name."""

import errno
from pathlib import Path

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def rename_new(temporary: Path, target: Path) -> None:
    """Rename `temporary` to `target` without replacing an existing file. Raises FileExistsError where `target` exists.

    On a file system without hard links (FAT, some network mounts) the check and the rename are two separate steps:
    there, a file that appears between the two is replaced.
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
