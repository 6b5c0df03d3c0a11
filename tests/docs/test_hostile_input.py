"""The page about hostile input names tests that exist, and names some for every line."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "hostile-input.md").read_text()
_ROW = re.compile(r"^\| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
_NAMED = re.compile(r"`([^`]+)`")


def held() -> dict[str, str]:
    """What comes in, and the cell that says where it is held."""
    found = {row[1]: row[3] for row in _ROW.finditer(PAGE) if row[3] != "where it is held"}
    assert len(found) == len(re.findall(r"^\| (?!what comes in)", PAGE, re.MULTILINE)), "a row is cut wrongly"
    return found


def named_in(cell: str) -> Iterator[tuple[str, str]]:
    """Module and function of every test that a cell names: a module stands in front of its tests."""
    module = ""
    for name in _NAMED.findall(cell):
        if name.endswith(".py"):
            module = name
        else:
            yield module, name


@cache
def functions(module: str) -> frozenset[str]:
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("cell", held().values(), ids=[ascii(what)[:60] for what in held()])
def test_every_line_is_held_by_tests_that_exist(cell: str) -> None:
    named = list(named_in(cell))
    assert named
    assert all(name.startswith("test_") for _, name in named)
    assert [(module, name) for module, name in named if name not in functions(module)] == []


def test_the_page_is_found_where_readers_look() -> None:
    for page in ("README.md", "docs/threat-model.md"):
        assert "hostile-input.md)" in (ROOT / page).read_text()
