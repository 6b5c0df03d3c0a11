"""Exponential backoff after failures: the first few cause no delay, then the delay doubles with each failure."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

_DOUBLINGS = 16  # 2^16 seconds exceed every limit in use


@dataclass(frozen=True, slots=True)
class DoublingDelay:
    """A delay of one second after `free` failures, then two, four, …, at most `longest`."""

    free: int
    longest: timedelta

    def left(self, failures: int, last: datetime | None, now: datetime) -> int:
        """The seconds that remain of the delay, after `failures` of which the last was at `last`; 0 for no delay."""
        if failures < self.free or last is None:
            return 0
        delay = min(timedelta(seconds=1 << min(failures - self.free, _DOUBLINGS)), self.longest)
        return max(math.ceil((last + delay - now).total_seconds()), 0)
