"""The files that are handed in: random bytes that nothing can make smaller, and their digests.

Comes in: a size. Leaves: a file in the run's folder, made once for each size. Next: `transfer` sends it.
"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A file and what is known of it."""

    path: Path
    size: int
    sha256: str

    def tail(self, length: int) -> bytes:
        """Its last bytes."""
        with self.path.open("rb") as file:
            file.seek(-length, os.SEEK_END)
            return file.read()


@dataclass(frozen=True, slots=True)
class Sources:
    """Makes what is asked for, and keeps it."""

    folder: Path
    _made: dict[int, Source] = field(default_factory=dict)

    def of(self, size: int) -> Source:
        if size not in self._made:
            self._made[size] = _make(self.folder / f"source-{size}", size)
        return self._made[size]


def prefault(path: Path) -> None:
    """Read a file, so that it lies in the page cache: cold is never compared with warm."""
    piece = bytearray(_PIECE)
    with path.open("rb", buffering=0) as file:
        while file.readinto(piece):
            pass


def prefault_all(folder: Path) -> None:
    """The same with every file of a folder: what a peer keeps."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            prefault(path)


def _make(path: Path, size: int) -> Source:
    sha256, left = hashlib.sha256(), size
    with path.open("wb") as file:
        while left:
            piece = os.urandom(min(left, _PIECE))
            left -= len(piece)
            sha256.update(piece)
            file.write(piece)
    return Source(path, size, sha256.hexdigest())
