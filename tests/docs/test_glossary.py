"""Each term of the glossary names a class that is where it says."""

import re
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
