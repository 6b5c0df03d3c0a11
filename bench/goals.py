"""What is wanted of the figures, as data.

Comes in: a row's medians. Leaves: a ratio, and whether it is where it should be. Next: `report` tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Bound(Enum):
    """Which side of the goal is the good one."""

    LEAST = "≥"
    MOST = "≤"


@dataclass(frozen=True, slots=True)
class Goal:
    """The portal's median over that of `over` (or alone, where there is none) on the right side of `value`.

    `reach` is what would be better still.
    """

    row: str
    over: str | None
    bound: Bound
    value: float
    reach: float | None = None

    def measured(self, medians: Mapping[str, float]) -> float | None:
        """None where one of the two was not measured."""
        judged, other = medians.get("portal"), 1.0 if self.over is None else medians.get(self.over)
        return None if judged is None or other is None else judged / other

    def met(self, measured: float) -> bool:
        return self._within(measured, self.value)

    def exceeded(self, measured: float) -> bool:
        """Whether it is even where it would be better still."""
        return self.reach is not None and self._within(measured, self.reach)

    def _within(self, measured: float, value: float) -> bool:
        return measured >= value if self.bound is Bound.LEAST else measured <= value


GOALS = (
    Goal("upload_256m", "nginx", Bound.LEAST, 0.80, reach=0.90),
    Goal("upload_256m", "rclone", Bound.LEAST, 3.5, reach=4.0),
    Goal("upload_1g", "nginx", Bound.LEAST, 0.80, reach=0.90),
    Goal("upload_1g", "rclone", Bound.LEAST, 3.5, reach=4.0),
    Goal("cpu_1g", "seal", Bound.MOST, 1.35),
    Goal("download_256m", "nginx", Bound.LEAST, 0.75, reach=0.80),
    Goal("download_256m", "rclone", Bound.LEAST, 3.0, reach=4.0),
    Goal("download_1g", "nginx", Bound.LEAST, 0.75, reach=0.80),
    Goal("download_1g", "rclone", Bound.LEAST, 3.0, reach=4.0),
    Goal("first_download_256m", "nginx", Bound.LEAST, 0.60, reach=0.75),
    Goal("range_64k", "rclone", Bound.MOST, 6.0, reach=4.0),
    Goal("range_64k", "seaweedfs", Bound.MOST, 1.0, reach=0.7),
    Goal("memory_256m", None, Bound.MOST, 12.0),
    Goal("memory_4g", None, Bound.MOST, 12.0),
    Goal("memory_download", None, Bound.MOST, 12.0),
    Goal("parallel_16", "one stream", Bound.LEAST, 1.0),
    Goal("small_4k", "rclone", Bound.LEAST, 0.4, reach=0.6),
    Goal("small_4k", "seaweedfs", Bound.LEAST, 0.35, reach=0.5),
    Goal("cpu_entry", None, Bound.MOST, 0.8),
    Goal("cpu_list", None, Bound.MOST, 2.5),
    Goal("cpu_range", None, Bound.MOST, 2.2),
    Goal("cpu_small", None, Bound.MOST, 2.0),
    Goal("list_growth", "1,000 files", Bound.MOST, 2.0),
    Goal("multipart_256m", "raw", Bound.LEAST, 0.95, reach=1.0),
    Goal("reencrypt_256m", "upload", Bound.LEAST, 0.8, reach=1.0),
)
