"""One run: each job in a folder of its own, its operations in turn, round after round.

Comes in: a folder, sizes, the rows wanted. Leaves: results as JSON has them. Next: `report`.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import machine, system_calls
from bench.failure import Absent
from bench.figures import figure, rotated
from bench.peers import PEERS
from bench.plan import CALLS, ROWS, Sizes
from bench.rows import JOBS
from bench.rows.base import Job, Setting
from bench.servers import Servers
from bench.sources import Sources

Samples = dict[str, dict[str, list[float]]]  # by row and variant


@dataclass(frozen=True, slots=True)
class Run:
    """What every job of a run is given."""

    folder: Path
    sizes: Sizes
    sources: Sources
    only: frozenset[str]
    rounds: int | None
    skipped: dict[str, str]
    shared: Servers | None  # what all jobs are given where nothing is measured; else each has its own

    def rounds_of(self, job: Job) -> int:
        return self.rounds or self.sizes.rounds or ROWS[job.rows[0]].rounds

    def variants_of(self, job: Job) -> tuple[str, ...]:
        """Whoever is in one of the rows that are wanted, and is here."""
        wanted = [name for row in job.rows if row in self.only for name in ROWS[row].variants]
        return tuple(name for name in dict.fromkeys(wanted) if name not in self.skipped)


def run(folder: Path, sizes: Sizes, *, only: Iterable[str], rounds: int | None) -> dict[str, Any]:
    """Raises Failed."""
    skipped = {name: why for name, peer in PEERS.items() if (why := peer.missing())}
    sources, samples = Sources(folder), Samples()
    with ExitStack() as stack:
        shared = Servers(folder, sources.of(sizes.warm_up), stack) if sizes.quick else None
        begun = Run(folder, sizes, sources, frozenset(only), rounds, skipped, shared)
        _measure_all(begun, samples)
        calls = _system_calls(begun) if CALLS in begun.only else {}
    return _results(begun, samples, calls)


def _measure_all(run: Run, samples: Samples) -> None:
    with _progress() as progress:
        for job in (job for job in JOBS if run.only.intersection(job.rows)):
            task = progress.add_task(job.rows[0], total=run.rounds_of(job) * len(run.variants_of(job)))
            _measure(run, job, samples, partial(progress.update, task, advance=1, refresh=True))


def _measure(run: Run, job: Job, samples: Samples, advance: Callable[[], None]) -> None:
    with _setting(run, job.rows[0], run.variants_of(job)) as setting:
        operations = job.prepare(setting)
        for number in range(run.rounds_of(job)):
            for variant in rotated(list(operations), number):
                os.sync()  # nobody pays for what another one wrote
                _keep(samples, job, variant, operations[variant](), run.only)
                advance()


@contextmanager
def _setting(run: Run, name: str, variants: tuple[str, ...]) -> Iterator[Setting]:
    """A folder that is gone afterwards, and servers."""
    folder = run.folder / name
    folder.mkdir()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        running = run.shared or Servers(folder, run.sources.of(run.sizes.warm_up), stack)
        yield Setting(folder, run.sizes, run.sources, variants, stack, running)


def _keep(samples: Samples, job: Job, variant: str, values: Sequence[float], only: frozenset[str]) -> None:
    for row, value in zip(job.rows, values, strict=False):  # an operation may know more than its rows ask for
        if row in only and variant in ROWS[row].variants:
            samples.setdefault(row, {}).setdefault(variant, []).append(value)


def _system_calls(run: Run) -> dict[str, dict[str, int]]:
    try:
        with _setting(run, CALLS, ("portal",)) as setting:
            return system_calls.counted(setting.serve("portal"), setting.folder, run.sources)
    except Absent as why:
        run.skipped[CALLS] = str(why)
        return {}


def _results(run: Run, samples: Samples, calls: dict[str, dict[str, int]]) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "quick": run.sizes.quick,
        "machine": machine.described(run.folder),
        "versions": machine.versions(),
        "skipped": run.skipped,
        "rows": {
            row: {
                "what": ROWS[row].what.format(**run.sizes.names),
                "unit": ROWS[row].unit,
                "figures": {variant: asdict(figure(values)) for variant, values in found.items()},
            }
            for row, found in samples.items()
        },
        "system_calls": calls,
    }


def _progress() -> Progress:
    """On a terminal only; drawn between operations, never during one."""
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), auto_refresh=False)
