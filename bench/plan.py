"""What is measured, fixed in advance: the rows, who takes part in each, how often, and how large everything is.

Comes in: nothing. Leaves: data. Next: `runner` walks through it, `rows/` has the operations, `goals`
says what is wanted.
"""

import os
from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes and counts of one kind of run."""

    large: int
    huge: int
    giant: int
    parallel: int
    warm_up: int
    small_requests: int
    ranges: int
    many: int  # files of a portal that has many
    workers: int  # of the portal that takes many streams at once
    pause: float  # seconds of rest before memory is called idle
    rounds: int | None = None  # instead of the row's own
    quick: bool = False

    @property
    def names(self) -> dict[str, str]:
        """How the rows' sentences call them."""
        sizes = {"large": self.large, "huge": self.huge, "giant": self.giant, "parallel": self.parallel}
        return {name: written(size) for name, size in sizes.items()} | {"many": f"{self.many:,}"}


FULL = Sizes(
    large=256 * MIB,
    huge=GIB,
    giant=4 * GIB,
    parallel=64 * MIB,
    warm_up=16 * MIB,
    small_requests=4000,
    ranges=200,
    many=1_000_000,
    workers=os.cpu_count() or 1,
    pause=2,
)
QUICK = Sizes(
    large=2 * MIB,
    huge=4 * MIB,
    giant=8 * MIB,
    parallel=MIB,
    warm_up=MIB,
    small_requests=64,
    ranges=8,
    many=2_000,
    workers=1,
    pause=0,
    rounds=1,
    quick=True,
)
SMALL = 4 * KIB
RANGE = 64 * KIB
STREAMS = 16
CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Row:
    """One line of figures. `variants` are peers, or ways of the portal; the first is what is judged."""

    what: str
    unit: str
    variants: tuple[str, ...]
    rounds: int


_RATE = "MiB/s"
FEW_FILES = "1,000 files"
UPLOAD = "upload"  # of the same file
WAYS = ("portal", "over a socket")  # asked in its own process, and as everybody asks it
_SERVERS = ("portal", "nginx", "copyparty", "rclone", "seaweedfs")

ROWS: dict[str, Row] = {
    "upload_256m": Row("one raw upload of {large}", _RATE, ("portal", "nginx", "rclone", "naive", "seal"), 7),
    "upload_1g": Row("one raw upload of {huge}", _RATE, ("portal", "nginx", "rclone", "seal"), 5),
    "cpu_1g": Row("CPU of the server for one upload of {huge}", "s/GiB", ("portal", "seal"), 5),
    "download_256m": Row("one download of {large}", _RATE, ("portal", "nginx", "rclone", "naive"), 7),
    "download_1g": Row("one download of {huge}", _RATE, ("portal", "nginx", "rclone"), 5),
    "first_download_256m": Row(
        "one download of {large} right after its upload", _RATE, ("portal", "nginx", "rclone"), 5
    ),
    "cold_download_256m": Row(
        "one download of {large} that memory did not keep", _RATE, ("portal", "nginx", "rclone"), 5
    ),
    "range_64k": Row("64 KiB at the end of {giant}", "ms", _SERVERS, 5),
    "memory_256m": Row("memory above idle for one upload of {large}", "MiB", ("portal",), 5),
    "memory_4g": Row("memory above idle for one upload of {giant}", "MiB", ("portal",), 3),
    "memory_download": Row("memory above idle for one download of {huge}", "MiB", ("portal",), 5),
    "parallel_16": Row("16 uploads of {parallel} at once, all together", _RATE, ("portal", "one stream"), 5),
    "small_4k": Row("uploads of 4 KiB over 32 connections", "requests/s", (*_SERVERS, "naive"), 5),
    "multipart_256m": Row("one upload of {large} as a form", _RATE, ("portal", "raw"), 7),
    "reencrypt_256m": Row("one file of {large} under a new key, by a job", _RATE, ("portal", UPLOAD), 5),
    "cpu_entry": Row("CPU of the server for the metadata of a file", "ms", WAYS, 5),
    "cpu_list": Row("CPU of the server for a list of 50 files", "ms", WAYS, 5),
    "cpu_range": Row("CPU of the server for a range of 64 KiB", "ms", WAYS, 5),
    "cpu_small": Row("CPU of the server for an upload of 4 KiB", "ms", WAYS, 5),
    "list_growth": Row("CPU of the server for a list of 50 of {many} files", "ms", ("portal", FEW_FILES), 5),
}
CALLS = "system_calls"  # counted once, not measured
CHOICES = (*ROWS, CALLS)


def written(size: int) -> str:
    """A size in words: whole GiB, MiB or KiB."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} bytes"
