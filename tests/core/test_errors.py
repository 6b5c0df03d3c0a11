"""The error tree: every class has a status, a stable code and a sentence that is safe to show."""

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator

import pytest

import portal
from portal.backends.blobs.base import BlobMissing
from portal.core import errors
from portal.core.errors import ConfigError, IntegrityError, PortalError, Unavailable


def import_everything() -> None:
    """Errors are found wherever they are declared."""
    for module in pkgutil.walk_packages(portal.__path__, "portal."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def tree(root: type[PortalError] = PortalError) -> Iterator[type[PortalError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


import_everything()
ALL = sorted(set(tree()), key=lambda kind: (kind.__module__, kind.__name__))
DAMAGE = list(tree(IntegrityError))
PLAIN = [kind for kind in ALL if kind.__init__ is PortalError.__init__]
every_error = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)


def drawn() -> list[tuple[str, str]]:
    """(name, status) for every line of the tree in the module's docstring."""
    return re.findall(r"(?m)^[ │]*[├└]── (\w+) +(\d{3}|---) ", errors.__doc__ or "")


def test_the_walk_finds_errors_of_every_room() -> None:
    assert {kind.__module__.split(".")[1] for kind in ALL} >= {"core", "backends", "db", "features"}


@every_error
def test_an_error_has_a_status_a_code_and_a_sentence(kind: type[PortalError]) -> None:
    assert 400 <= kind.status <= 599
    assert re.fullmatch(r"[a-z][a-z0-9_]{2,39}", kind.code)
    assert re.fullmatch(r"[A-Z][^\n]*\.", kind.title)
    assert kind.retry_after is None or 0 < kind.retry_after <= 3_600


def test_a_code_belongs_to_one_error_except_that_damage_has_one_only() -> None:
    damage = set(DAMAGE)
    assert {kind.code for kind in damage} == {"integrity_error"}
    others = Counter(kind.code for kind in ALL if kind not in damage)
    assert [code for code, times in others.items() if times > 1] == []
    assert "integrity_error" not in others


def test_the_docstring_draws_exactly_the_errors_of_its_module() -> None:
    here = [kind for kind in ALL if kind.__module__ == errors.__name__ and kind is not PortalError]
    assert sorted(name for name, _ in drawn()) == sorted(kind.__name__ for kind in here)


def test_the_docstring_tells_every_status() -> None:
    statuses = {kind.__name__: str(kind.status) for kind in ALL}
    for name, status in drawn():
        assert status == statuses[name]


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_an_error_without_detail_says_its_sentence(kind: type[PortalError]) -> None:
    assert str(kind()) == kind.title


def test_a_detail_takes_the_sentences_place() -> None:
    assert str(Unavailable("The scanner rests.")) == "The scanner rests."


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_has_one_message_and_takes_no_other(kind: type[IntegrityError]) -> None:
    assert str(kind()) == IntegrityError.title
    with pytest.raises(TypeError):
        kind("segment 3 of file 7")  # type: ignore[call-arg]


def test_a_missing_blob_looks_like_any_damage() -> None:
    assert (BlobMissing.status, BlobMissing.code, BlobMissing.title) == (
        IntegrityError.status,
        IntegrityError.code,
        IntegrityError.title,
    )


def test_a_config_error_carries_every_problem() -> None:
    error = ConfigError("A is missing", "B is odd")
    assert error.problems == ("A is missing", "B is odd")
    assert str(error) == "A is missing; B is odd"
