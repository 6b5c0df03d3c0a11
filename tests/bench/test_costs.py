"""What the portal costs, where noise cannot fake it: counts, memory, processor time beside a program that seals."""

import shutil
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench import system_calls
from bench.goals import GOALS
from bench.peers.portal import Portal
from bench.plan import MIB, QUICK, ROWS, WAYS
from bench.rows import memory, requests, uploads
from bench.rows.base import Job, Setting
from bench.servers import Servers
from bench.sources import Sources

from ..conftest import skip

SIZES = replace(QUICK, large=64 * MIB, huge=128 * MIB, warm_up=16 * MIB, ranges=30, pause=0.5)
ROUNDS = 3
UPLOAD_SEALED = 2.0
"""Of the processor time of the seal alone. The goal of `cpu_1g` is lower: a busy machine needs room here."""
MEMORY = Job(("memory_256m",), partial(memory.prepare, which="large"))
DOWNLOAD = Job(("memory_download",), partial(memory.prepare_download, which="large"))
UPLOADS = Job(("upload_1g", "cpu_1g"), partial(uploads.prepare, which="huge"))


@dataclass(frozen=True)
class Most:
    """The most that one request may do. A change that makes it do less lowers the number.

    `sealed` bounds its processor time, by how many MiB the portal's own seal hashes and encrypts in that time: about
    twice what it is on a quiet machine.
    """

    statements: int
    transactions: int
    hops: int
    nodes: int
    sealed: float


REQUESTS = {
    # The session; the file with the right to it.
    "cpu_entry": Most(statements=2, transactions=2, hops=0, nodes=2, sealed=1),
    # The session; the page.
    "cpu_list": Most(statements=2, transactions=2, hops=1, nodes=2, sealed=4),
    # The session; the file, the right to it and the event that a download begins; the event that it ended.
    "cpu_range": Most(statements=5, transactions=3, hops=3, nodes=2, sealed=4.5),
    # The session; the session once more, blob, file and event. What is hashed, typed and sealed hops too.
    "cpu_small": Most(statements=6, transactions=2, hops=2, nodes=2, sealed=3.5),
}
CALLS = {"4 KiB": {"fdatasync": 1}, "8 MiB": {"fsync": 3, "fdatasync": 2, "rename": 1}}
"""What makes an upload durable: its blob, two folders and two commits; of a small file one commit."""


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    sources = Sources(tmp_path)
    with ExitStack() as stack:
        running = Servers(tmp_path, sources.of(SIZES.warm_up), stack)
        yield Setting(tmp_path, SIZES, sources, ("portal", "seal"), stack, running)


def medians(setting: Setting, job: Job) -> dict[str, float]:
    """Of the last row of the job, by variant."""
    operations = job.prepare(setting)
    taken = [{name: operation()[len(job.rows) - 1] for name, operation in operations.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(each[name] for each in taken) for name in operations}


def meets_its_goal(row: str, found: dict[str, float]) -> bool:
    (goal,) = (goal for goal in GOALS if goal.row == row)
    ratio = goal.measured(found)
    assert ratio is not None
    return goal.met(ratio)


def least(traced: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Of each kind of call the fewest: a commit of the server's own falls into some traces."""
    return {
        size: {name: min(one[size].get(name, 0) for one in traced) for name in calls}
        for size, calls in traced[0].items()
    }


def told(setting: Setting, server: Portal) -> dict[str, list[dict[str, Any]]]:
    """Of each kind of request, what each round tells."""
    kinds = requests.kinds_of(setting, server)
    found = requests.measured(server, [kind for _ in range(ROUNDS) for kind in kinds()])
    return {name: found[number :: len(REQUESTS)] for number, name in enumerate(REQUESTS)}


def test_the_portal_does_no_more_than_it_has_to(setting: Setting) -> None:
    """One portal for all of it: it starts once, and what needs an idle one comes first."""
    server = setting.serve("portal")
    assert isinstance(server, Portal)
    for job in (MEMORY, DOWNLOAD):
        peak = medians(setting, job)
        assert meets_its_goal(job.rows[0], peak), (job.rows, peak)
    processor = medians(setting, UPLOADS)
    assert processor["portal"] <= UPLOAD_SEALED * processor["seal"], processor

    for name, rounds in told(setting, server).items():
        most = REQUESTS[name]
        for what in ("statements", "transactions", "hops", "nodes"):
            counted = min(each["counts"][what] for each in rounds)  # the server's own work falls into some
            assert counted <= getattr(most, what), (name, what)
        sealed = statistics.median(each["milliseconds"] for each in rounds) / processor["seal"] * 1024 / 1000
        assert sealed <= most.sealed, name

    if shutil.which("strace") is None:
        skip("no strace: install it, or let .ci/run do it")
    traced = [system_calls.counted(server, setting.folder, setting.sources) for _ in range(ROUNDS)]
    assert least(traced) == CALLS


def test_every_kind_of_request_has_its_limits() -> None:
    assert list(REQUESTS) == [name for name, row in ROWS.items() if row.variants == WAYS]
