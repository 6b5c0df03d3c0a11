"""`python -m bench.profile ROW`: where the portal's processor time goes while it does what a row measures.

Comes in: the name of a row. Leaves: shares by kind of work, as `perf` (Debian's linux-perf) samples them in the
server's processes. What explains a goal that is missed is printed here. Next: `docs/benchmark.md` says what it means.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.peers import PEERS
from bench.peers.base import Server
from bench.places import ROOT
from bench.plan import FULL, ROWS, WAYS
from bench.rows import JOBS
from bench.rows.base import Operation, Setting
from bench.servers import Servers
from bench.sources import Sources

_SECONDS = 15
_RATE = 499  # samples a second: no divisor of anything that ticks
_LINE = re.compile(r"\s*(?P<share>[\d.]+)%\s+(?P<object>\S+)\s+\[[.k]\] (?P<symbol>.*)")
_KINDS = (
    ("SHA-256 and AES-GCM", re.compile(r"libcrypto|_rust")),
    ("kernel: copying bytes", re.compile(r"kernel.*(copy|clear_page|memset)")),
    ("kernel: waking and switching threads", re.compile(r"kernel.*(switch|spin_unlock_irq|futex|wake|sched)")),
    ("kernel: sockets, files and the rest", re.compile(r"kernel")),
    ("SQLite", re.compile(r"sqlite")),
    ("Python and its libraries", re.compile(r"python|\.so")),
)


class Watched(Setting):
    """Remembers the server that was started."""

    __slots__ = ("server",)
    server: Server

    def serve(self, name: str, workers: int = 1) -> Server:
        server = Setting.serve(self, name, workers)
        object.__setattr__(self, "server", server)
        return server


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__.partition("\n")[0])
    parser.add_argument("row", choices=[row for row in ROWS if WAYS[1] not in ROWS[row].variants])
    row = parser.parse_args(arguments).row
    if shutil.which("perf") is None or PEERS["portal"].missing():
        print("no perf: install linux-perf", file=sys.stderr)
        return 1
    (ROOT / ".bench").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".bench", prefix="profile-") as folder, ExitStack() as stack:
        for kind, share in profiled(Path(folder), row, stack).most_common():
            print(f"{share:5.1f} %  {kind}")
    return 0


def profiled(folder: Path, row: str, stack: ExitStack) -> Counter[str]:
    """Shares in percent, by kind of work."""
    (job,) = (job for job in JOBS if row in job.rows)
    sources = Sources(folder)
    running = Servers(folder, sources.of(FULL.warm_up), stack)
    setting = Watched(folder, FULL, sources, ("portal",), stack, running)
    operation = job.prepare(setting)["portal"]
    operation()  # warm
    record = ["perf", "record", "--quiet", "-F", str(_RATE), "-o", str(folder / "perf"), "-p", str(setting.server.pid)]
    with subprocess.Popen(record) as perf:
        _repeat(operation)
        perf.terminate()
    report = ["perf", "report", "--stdio", "--no-children", "--sort", "dso,symbol", "-i", str(folder / "perf")]
    said = subprocess.run(report, capture_output=True, text=True, check=True).stdout
    return read(said)


def read(report: str) -> Counter[str]:
    """What perf says of each symbol, added up by kind."""
    shares: Counter[str] = Counter()
    for match in filter(None, map(_LINE.fullmatch, report.splitlines())):
        place = f"{match['object']} {match['symbol']}"
        kind = next((name for name, pattern in _KINDS if pattern.search(place)), "everything else")
        shares[kind] += float(match["share"])  # type: ignore[assignment]  # shares are fractions
    return shares


def _repeat(operation: Operation) -> None:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        operation()


if __name__ == "__main__":
    sys.exit(main())
