"""The page of promises knows every suite, and says how much of it is run."""

import re
from pathlib import Path

from ..reliability.amounts import AMOUNTS
from .test_docs import ROOT, page, rows

SUITES = {path.stem.removeprefix("test_") for path in Path(ROOT / "tests" / "reliability").glob("test_*.py")}


def promises() -> list[list[str]]:
    return rows(page("reliability.md").split("## Promises")[1].split("\n## ")[0])[2:]


def test_every_suite_shows_a_promise_and_every_promise_has_a_suite() -> None:
    named = [suite for row in promises() for suite in re.findall(r"`(\w+)`", row[1])]
    assert sorted(named) == sorted(SUITES | {"races"})  # which stand beside what they race for


def test_the_amounts_are_the_ones_that_are_run() -> None:
    said = {tuple(cell.split()[0] for cell in row[2:]) for row in promises()}
    for small, large in AMOUNTS.values():
        assert (f"{small:,}", f"{large:,}") in said
