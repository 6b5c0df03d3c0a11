"""One word for one thing: no class name is defined twice, and the glossary names what is there."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "portal"
TERM = re.compile(r"^\| \*\*(?P<term>[^*]+)\*\* \|[^|]+\| (?P<where>.+) \|$", re.MULTILINE)
TERMS = {match["term"]: match["where"] for match in TERM.finditer((ROOT / "docs" / "glossary.md").read_text())}


def classes() -> Iterator[tuple[str, str]]:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield node.name, path.relative_to(SOURCE).as_posix()


def test_no_class_name_is_defined_twice() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for name, path in classes():
        homes[name].append(path)
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_no_module_is_called_by_a_word_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "base_utils"}
    assert {path.stem for path in SOURCE.rglob("*.py")} & empty == set()


def test_the_glossary_has_terms() -> None:
    assert len(TERMS) >= 30


@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_the_glossary_names_where_it_lives(term: str) -> None:
    known = {name for name, _ in classes()}
    named = re.findall(r"`([^`]+)`", TERMS[term])
    assert named, "a term names its class or its module"
    for name in named:
        assert name in known or (SOURCE / name).exists() or (SOURCE / f"{name}.py").exists(), name
