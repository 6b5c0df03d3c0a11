"""The k-th system call of a kind fails, for k = 1, 2, 3 … until none is left to fail: once, and for good from then on.
With each change it is one call in three.

strace fails the calls of a portal that works on real files and a real database (`driver.py`). After every run, without
strace and without a restart: what was acknowledged is there, whole; what was refused left nothing; the refusal was a
foreseen one; nothing is called damaged that is not; nothing stays open; and the next file goes in and comes out.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from ..e2e.conftest import MakePortal
from . import ledger
from .amounts import amount
from .conftest import Figures
from .driven import driven
from .faults import Bench, prepared

IO, FULL, MANY = "EIO", "ENOSPC", "EMFILE"  # a bad disk, a full one, too many open files
ERRORS = {
    "openat": (IO, FULL, MANY),
    **dict.fromkeys(("write", "pwrite64", "ftruncate"), (IO, FULL)),
    **dict.fromkeys(("fsync", "fdatasync", "rename", "unlink", "close", "read", "pread64", "lseek"), (IO,)),
    **dict.fromkeys(("preadv", "preadv2"), (IO,)),  # a blob is read; which of the two, by machine and Python, as below
    **dict.fromkeys(("newfstatat", "fstat", "renameat", "unlinkat", "getdents64"), (IO,)),
}
FEWEST = {
    "upload": 120,
    "upload_small": 40,
    "download": 80,
    "range": 80,
    "delete": 60,
    "sweep": 80,
    "reconnect": 60,
    "fsck": 40,
}
MOST = {"fsck": 6}  # calls of one kind: behind the first ones a check only lists folders
MOST_OF_ALL = 200
CHECKED_WHOLE = 100  # runs between two looks at every byte
EVERY = 4 if amount("FAULTS") == 1 else 1  # one call of a kind in so many fails, the first one always


class Fault(NamedTuple):
    """What strace is to do."""

    calls: str
    error: str
    good: bool

    def at(self, number: int) -> str:
        return f"{self.calls}:error={self.error}:when={number}{'+' if self.good else ''}"


def faults(calls: Sequence[str]) -> Iterator[list[Fault]]:
    """Rows of faults. The k-th run of a row is the row's k-th way to fail, from the first again behind the last."""
    for call in calls:
        ways = [Fault(call, error, good) for error, good in product(ERRORS[call], (False, True))]
        step = len(ways) if amount("FAULTS") == 1 else 1
        yield from (ways[at : at + step] for at in range(0, len(ways), step))
    yield [Fault(",".join(calls), IO, good=True)]  # the whole disk is gone


def sweep(bench: Bench, row: list[Fault], most: int) -> None:
    for run, number in enumerate(range(1, most + 1, EVERY)):
        if not bench.run(row[run % len(row)].at(number)):
            return
    assert most < MOST_OF_ALL, f"always another call to fail: {row}"


def test_at_least_four_hundred_calls_fail() -> None:
    assert sum(FEWEST.values()) >= 400


@pytest.mark.parametrize("operation", FEWEST)
def test_whichever_call_fails_nothing_is_lost_nothing_stays_and_the_next_file_passes(
    make_portal: MakePortal, tmp_path: Path, figures: Figures, operation: str
) -> None:
    portal = make_portal(DELETE_GRACE_DAYS="0")  # a delete removes its bytes itself
    ledger.keep(portal)
    portal.prepare(analyst="analyst")
    with driven(portal, "analyst") as driver:
        bench = prepared(driver, operation, tmp_path / "trace")
        calls = bench.calls(list(ERRORS))
        for row in faults(calls):
            whole = bench.runs // CHECKED_WHOLE
            sweep(bench, row, MOST.get(operation, MOST_OF_ALL))
            if bench.runs // CHECKED_WHOLE > whole:
                bench.assert_whole()
        bench.assert_whole()
    figures(runs=bench.runs, kinds=len(calls), **bench.seen)
    assert bench.runs >= FEWEST[operation] // (5 if amount("FAULTS") == 1 else 1)
