"""What the reliability suites share: portals of their own, and figures that are printed when everything has run."""

from collections.abc import Callable

import pytest

from ..e2e.conftest import make_portal
from .postgres import own_postgres, own_server

__all__ = ["make_portal", "own_postgres", "own_server"]

Figures = Callable[..., None]


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Figures:
    """What a suite counted, by name: it is printed in the summary, and docs/reliability.md repeats it."""

    def figures(**counted: float | str) -> None:
        record_property("figures", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counted.items()))

    return figures
