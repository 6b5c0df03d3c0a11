"""One word for one thing: a term of the glossary names a class where it says, and no name has two classes."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import portal

SOURCE = Path(portal.__file__).parent
GLOSSARY = (SOURCE.parents[1] / "docs/glossary.md").read_text()
TERMS = re.findall(r"^\| ([^|`]+) \|.*\| `(\w+)`, `([\w/]+\.py)` \|$", GLOSSARY, re.MULTILINE)


def test_every_term_names_a_class_in_its_module() -> None:
    assert len(TERMS) > 30
    for term, name, module in TERMS:
        assert re.search(rf"^class {name}\b", (SOURCE / module).read_text(), re.MULTILINE), term


def test_the_terms_are_in_order_and_each_is_there_once() -> None:
    terms = [term.casefold() for term, _, _ in TERMS]
    assert terms == sorted(set(terms))


def test_no_class_name_is_defined_twice() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(path.relative_to(SOURCE).as_posix())
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert {path.stem for path in SOURCE.rglob("*.py")} & {"utils", "helpers", "common", "misc", "manager"} == set()
