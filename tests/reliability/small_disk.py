"""A disk that is really full: a small tmpfs that one portal's process sees and nobody else.

Comes in: a portal that was prepared and not started, and a folder of its own. Leaves: a portal for which that folder is
a disk, in a mount namespace that goes with its process; and what is on that disk, as long as it runs and afterwards.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import FileIO
from pathlib import Path

from ..conftest import skip
from ..e2e.conftest import Served

_WAYS = (("unshare", "--mount"), ("unshare", "--user", "--map-root-user", "--mount"))
# What was in the folder before is copied: the mount would hide it.
_MOUNT = 'mount -t tmpfs -o "size=$1,mode=0700" portal "$2" && cp -a "$2-before/." "$2/" && shift 2 && exec "$@"'


def put_on_small_disk(portal: Served, folder: Path, size: int) -> None:
    """From its start on, `folder` is a disk of `size` bytes. Skips the test where nothing can be mounted."""
    before = folder.with_name(f"{folder.name}-before")
    if folder.exists():
        folder.rename(before)
    before.mkdir(exist_ok=True)
    folder.mkdir(parents=True)
    portal.under = [*_way(before), "sh", "-c", _MOUNT, "sh", str(size), str(folder)]


def from_within(portal: Served) -> Served:
    """The running portal with the paths under which its own disk is seen from outside."""
    assert portal.process is not None
    return replace(portal, folder=Path(f"/proc/{portal.process.pid}/root{portal.folder}"))


def run_within(portal: Served, *arguments: str) -> str:
    """What a command of the `portal` program says that runs where the running portal does, and sees its disk."""
    assert portal.process is not None
    outside = Path("/proc/self/ns/user").stat().st_ino == Path(f"/proc/{portal.process.pid}/ns/user").stat().st_ino
    way = ["nsenter", f"--target={portal.process.pid}", "--mount", f"--wd={portal.folder}"]
    way += [] if outside else ["--user", "--preserve-credentials"]
    command = [*way, sys.executable, "-m", "portal", *arguments]
    return subprocess.run(command, env=portal.environment, text=True, capture_output=True, check=True).stdout


def bring_home(portal: Served, folder: Path) -> None:
    """Stop the portal, and put what was on its disk where `folder` is to everybody: for the checker to look at.

    The disk lives on as long as it is held open. SQLite would follow /proc/PID/root to the folder outside.
    """
    disk = os.open(Path(from_within(portal).folder, folder.relative_to(portal.folder)), os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert portal.stop() == 0
        shutil.copytree(f"/proc/self/fd/{disk}", folder, dirs_exist_ok=True)
    finally:
        os.close(disk)
    portal.under = []


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not a byte is left on the disk of `folder` while the block runs."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            while _fits(file, bytes(size)):
                pass
    try:
        yield
    finally:
        filler.unlink()


def _fits(file: FileIO, data: bytes) -> bool:
    try:
        return file.write(data) == len(data)
    except OSError:
        return False


def _way(folder: Path) -> tuple[str, ...]:
    may = [way for way in _WAYS if shutil.which(way[0]) and _mounts(way, folder)]
    return may[0] if may else skip("no disk of our own: neither root nor a user namespace may mount a tmpfs here")


def _mounts(way: tuple[str, ...], folder: Path) -> bool:
    tried = subprocess.run([*way, "mount", "-t", "tmpfs", "portal", str(folder)], capture_output=True, check=False)
    return tried.returncode == 0
