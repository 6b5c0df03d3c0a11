"""What a run found, on a terminal of 80 columns.

Comes in: results, as `runner` makes them. Leaves: a line for each goal, and below each row a line for each figure.
"""

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench import report
from bench.plan import ROWS

_LINE = "  {:<14}{:>12}{:>12}{:>12}{:>6}"


def show(results: dict[str, Any], console: Console) -> None:
    if results["quick"]:
        _say(console, report.QUICK.strip("*"))
    heading, *lines = report.goals(results)
    if lines:
        console.print(_table(heading, lines))
    for line in (*figures(results), *report.notes(results)):
        _say(console, line)


def figures(results: dict[str, Any]) -> Iterator[str]:
    """What each row is, and its figures: whose, the median, the least, the most, and how many there were."""
    yield _LINE.format("", "median", "least", "most", "n")
    for row in (row for row in ROWS if row in results["rows"]):
        found = results["rows"][row]
        yield f"{row}: {found['what']}, {found['unit']}"
        for name, figure in found["figures"].items():
            values = (report.number(figure[key]) for key in ("median", "min", "max"))
            yield _LINE.format(name, *values, figure["n"])
    yield ""


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False)


def _table(heading: list[str], lines: list[list[str]]) -> Table:
    """Without what the row is: the figures tell."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in heading:
        if name != "what":
            table.add_column(name, no_wrap=True)
    for row, _, *rest in lines:
        table.add_row(row, *rest)
    return table
