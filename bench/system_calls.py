"""The system calls that make an upload durable, as strace sees them.

Comes in: a running portal. Leaves: how many there were of each, for a small upload and for a larger one; or `Failed`
where a blob could have been lost after its upload was acknowledged. A fast path that skips an fsync does not count.
"""

import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import transfer
from bench.failure import Absent, Failed
from bench.peers.base import Server
from bench.plan import KIB, MIB, written
from bench.sources import Sources

UPLOADS = (4 * KIB, 8 * MIB)
SYNCS = ("fsync", "fdatasync")
RENAMES = ("rename", "renameat", "renameat2")
_TRACED = ",".join([*SYNCS, "?rename", "?renameat", "renameat2"])
_CALL = re.compile(r"\d+ +(?P<name>\w+)\((?P<arguments>.*)\) += 0")
_RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)")
_UNFINISHED = re.compile(r"(?P<thread>\d+) +(?P<call>\w+\(.*) <unfinished \.\.\.>")
_SETTLE_SECONDS = 0.5  # what the portal does on its own after an answer is over


def counted(server: Server, folder: Path, sources: Sources) -> dict[str, dict[str, int]]:
    """Successful calls by size of the upload and name. Raises Absent where strace cannot watch."""
    found: dict[str, dict[str, int]] = {}
    for size in UPLOADS:
        source, trace = sources.of(size), folder / f"trace-{size}"
        time.sleep(_SETTLE_SECONDS)
        with _traced(server.pid, trace):
            transfer.put(server, source)
        calls = read(trace.read_text())
        if broken := fault(calls):
            raise Failed(f"an upload of {written(size)} was not durable: {broken}")
        found[written(size)] = dict(Counter(name for name, _ in calls))
    return found


def read(trace: str) -> list[tuple[str, str]]:
    """Name and arguments of the calls that succeeded, in the order in which they ended."""
    begun: dict[str, str] = {}
    found = []
    for line in trace.splitlines():
        if match := _UNFINISHED.fullmatch(line):
            begun[match["thread"]] = match["call"]
            continue
        whole = line
        if match := _RESUMED.fullmatch(line):
            whole = f"{match['thread']} {begun.pop(match['thread'], '')}{match['rest']}"
        if match := _CALL.match(whole):
            found.append((match["name"], match["arguments"]))
    return found


def fault(calls: Sequence[tuple[str, str]]) -> str | None:
    """Why these calls make nothing durable, or None. Each renamed file was synced before, and something after.

    Where nothing was renamed the bytes are in the database, and its sync is all there is.
    """
    synced: list[str] = []
    after = True
    for name, arguments in calls:
        if name in SYNCS:
            synced.append(arguments)
            after = True
        elif name in RENAMES:
            source = arguments.split('"')[1]
            if not any(f"<{source}>" in argument for argument in synced):
                return "it was renamed and had not been synced"
            after = False
    if not after:
        return "nothing was synced after it was renamed"
    return None if synced else "nothing was synced"


@contextmanager
def _traced(process: int, to: Path) -> Iterator[None]:
    if shutil.which("strace") is None:
        raise Absent("no strace: install it")
    command = ["strace", "-f", "-y", "-s", "4096", "-o", str(to), "-e", f"trace={_TRACED}", "-p", str(process)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as watcher:
        assert watcher.stderr is not None
        said = watcher.stderr.readline()  # it says so when it is there
        try:
            if "attached" not in said:
                raise Absent(f"strace may not watch a running process here ({said.strip()})")
            yield
        finally:
            watcher.send_signal(signal.SIGINT)
