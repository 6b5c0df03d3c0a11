"""What becomes of many measurements: their median, their range and how many there were."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One cell of the table."""

    n: int
    median: float
    min: float
    max: float


def figure(values: Sequence[float]) -> Figure:
    """Of at least one value."""
    return Figure(len(values), statistics.median(values), min(values), max(values))


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """The order of one round: everybody is first, and everybody is behind everybody, equally often."""
    start = turn % len(names)
    return [*names[start:], *names[:start]]
