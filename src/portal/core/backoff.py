"""Waiting after failures: the first few are free, then each costs twice as long as the one before.

Comes in: how many failed, and when the last did. Leaves: how long to wait still.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

_DOUBLINGS = 16  # more would be over any limit


@dataclass(frozen=True, slots=True)
class Backoff:
    """One second after `free` failures, then two, four, …, at most `longest`."""

    free: int
    longest: timedelta

    def left(self, failures: int, last: datetime | None, now: datetime) -> int:
        """Seconds that are left of the delay after so many failures, the last of them at `last`."""
        if failures < self.free or last is None:
            return 0
        delay = min(timedelta(seconds=1 << min(failures - self.free, _DOUBLINGS)), self.longest)
        return max(math.ceil((last + delay - now).total_seconds()), 0)
