"""The page on OWASP ASVS says nothing that is not there: every row once, and all that it names exists."""

import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "asvs.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LEVELS = ("1", "2", "3")
STATUSES = ("met", "part", "open", "not applicable")
HOW_MANY = 182  # a row that goes away is missed


class Row(NamedTuple):
    id: str
    level: str
    requirement: str
    status: str
    shown: str


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


LINES = [line for line in PAGE.splitlines() if re.match(r"\| V\d", line)]
ROWS = [Row(*cells(line)) for line in LINES]


@cache
def every_test() -> set[str]:
    """The names of all tests and of their files. The tools that `make sdk` installs have thousands of folders."""
    folders = [path for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "sdk"]
    found = [path for folder in folders for path in folder.rglob("test_*.py")]
    found += [*ROOT.glob("tests/test_*.py"), *ROOT.glob("tests/sdk/test_*.py")]
    defined = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
    return {path.name for path in found} | {name for path in found for name in defined.findall(path.read_text())}


def named_tests(shown: str) -> list[str]:
    return re.findall(r"`(test_\w+(?:\.py)?)`", shown)


def named_links(shown: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", shown)


def named_gates(shown: str) -> list[tuple[str, str]]:
    return re.findall(r"`(ruff|contract):([^`]+)`", shown)


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def numbers(row: Row) -> tuple[int, ...]:
    return tuple(int(part) for part in row.id.removeprefix("V").split("."))


def test_every_requirement_stands_once_in_its_order_and_chapter() -> None:
    assert len(ROWS) == len({row.id for row in ROWS}) == HOW_MANY
    assert [row.id for row in ROWS] == [row.id for row in sorted(ROWS, key=numbers)]
    assert {row.level for row in ROWS} == set(LEVELS)
    assert {row.status for row in ROWS} <= set(STATUSES)
    for chapter, *body in [part.splitlines() for part in PAGE.split("\n## ")[1:]]:
        said = [cells(line)[0].split(".")[0] for line in body if line.startswith("| V")]
        assert set(said) == {chapter.split()[0]}


def test_the_counts_are_those_of_the_rows() -> None:
    counted = Counter((row.status, row.level) for row in ROWS)
    expected = {status: [counted[status, level] for level in LEVELS] for status in STATUSES}
    expected["all"] = [sum(1 for row in ROWS if row.level == level) for level in LEVELS]
    table = PAGE.split("| status |")[1].split("\n\n")[0].splitlines()[2:]
    assert [cells(line) for line in table] == [
        [status, *map(str, counts), str(sum(counts))] for status, counts in expected.items()
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_shows_what_it_claims_or_says_what_is_missing(row: Row) -> None:
    evidence = [*named_tests(row.shown), *named_links(row.shown), *named_gates(row.shown)]
    assert len(row.requirement) > 4
    assert row.shown
    assert row.shown.startswith("Missing: ") == (row.status in {"part", "open"})
    assert evidence or row.status != "met"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_all_that_a_row_names_exists(row: Row) -> None:
    assert set(named_tests(row.shown)) <= every_test()
    assert len(named_tests(row.shown)) == len(re.findall(r"\btest_\w+", row.shown)), "a test is named in backticks"
    for link in named_links(row.shown):
        page, _, heading = link.partition("#")
        assert (DOCS / page).exists(), link
        assert not heading or heading in headings(DOCS / page), link
    for kind, name in named_gates(row.shown):
        assert matches(name) if kind == "ruff" else name in contracts(), name


def matches(rule: str) -> bool:
    """A lint rule that holds for the source: neither a list nor a line of the source switches it off."""
    lint = PROJECT["tool"]["ruff"]["lint"]
    off = [
        *lint["ignore"],
        *(name for path, names in lint["per-file-ignores"].items() if "src" in path for name in names),
    ]
    return lint["select"] == ["ALL"] and not any(rule.startswith(name) for name in off) and rule not in LET_OFF


def contracts() -> set[str]:
    return {contract["name"] for contract in PROJECT["tool"]["importlinter"]["contracts"]}


LET_OFF = {
    rule
    for path in ROOT.glob("src/**/*.py")
    for codes in re.findall(r"# noqa: ([A-Z0-9, ]+)", path.read_text())
    for rule in re.split(r"[, ]+", codes.strip())
}
