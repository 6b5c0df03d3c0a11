"""Kinds of jobs: the handler that does the work, and its bounds.

Comes in: a row in `portal/job_kinds.py` for each kind. Leaves: `JobKind`s for the runner. Next: `execution`.
"""

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from portal.features.jobs.running import RunningJob

JobHandler = Callable[[RunningJob], Awaitable[object]]
"""Does the work. It may run again after a crash, and then recognises the part that is done: by `checkpoint`, or by the
rows that it changes.
"""


@dataclass(frozen=True, slots=True)
class RetryDelay:
    """How long a job that failed waits for its next attempt: twice as long each time, with jitter."""

    first: timedelta = timedelta(seconds=10)
    longest: timedelta = timedelta(hours=1)

    def delay(self, attempts: int) -> timedelta:
        """After so many attempts: between half and the whole of the time, so that many do not come back at once."""
        doubled = self.first * float(2 ** min(attempts - 1, 16))
        return min(doubled, self.longest) * random.uniform(0.5, 1)  # noqa: S311  # to spread, no secret


@dataclass(frozen=True, slots=True)
class JobKind:
    """`name` is in the rows: it never changes. `at_once` bounds how many of the kind run in all processes together.

    A kind with `every` is periodic: it has one job, due again so long after it ended, which never fails for good.
    """

    name: str
    handler: JobHandler
    time_limit: timedelta = timedelta(minutes=10)
    at_once: int | None = None
    max_attempts: int = 5
    retry_delay: RetryDelay = field(default_factory=RetryDelay)
    every: timedelta | None = None


def by_name(kinds: Iterable[JobKind]) -> dict[str, JobKind]:
    """Raises ValueError for two of one name."""
    found: dict[str, JobKind] = {}
    for kind in kinds:
        if kind.name in found:
            raise ValueError(f"two kinds of jobs are named {kind.name}")
        found[kind.name] = kind
    return found
