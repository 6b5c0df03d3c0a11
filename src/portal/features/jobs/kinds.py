"""Kinds of jobs: each has the handler that does the work, and its limits.

Comes in: a row in `portal/job_kinds.py` for each kind. Leaves: `JobKind`s for the runner. Next: `execution`.
"""

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from portal.features.jobs.running import RunningJob

JobHandler = Callable[[RunningJob], Awaitable[object]]
"""A function that does the work of one job.

It may run again after a crash, and must then skip the part that is done: it finds it by `checkpoint`, or by the rows
that it has changed.
"""


@dataclass(frozen=True, slots=True)
class RetryDelay:
    """The wait of a failed job before its next attempt: doubled each time, up to `longest`, with jitter."""

    first: timedelta = timedelta(seconds=10)
    longest: timedelta = timedelta(hours=1)

    def delay(self, attempts: int) -> timedelta:
        """The wait after so many attempts: random, between half and all of it, to spread the jobs in time."""
        doubled = self.first * float(2 ** min(attempts - 1, 16))
        return min(doubled, self.longest) * random.uniform(0.5, 1)  # noqa: S311  # to spread, no secret


@dataclass(frozen=True, slots=True)
class JobKind:
    """One kind of job. `name` is stored in rows, so it never changes. `at_once` limits the jobs of the kind that run at
    the same time, in all processes together; None is no limit.

    A kind with `every` is periodic. It has exactly one job, which is due again `every` after it ended, and never fails
    for good.
    """

    name: str
    handler: JobHandler
    time_limit: timedelta = timedelta(minutes=10)
    at_once: int | None = None
    max_attempts: int = 5
    retry_delay: RetryDelay = field(default_factory=RetryDelay)
    every: timedelta | None = None


def by_name(kinds: Iterable[JobKind]) -> dict[str, JobKind]:
    """The kinds by name. Raises ValueError for two kinds with one name."""
    found: dict[str, JobKind] = {}
    for kind in kinds:
        if kind.name in found:
            raise ValueError(f"two kinds of jobs are named {kind.name}")
        found[kind.name] = kind
    return found
