"""Pending: names that are offered as something less than harmless, and one that is not found to be malformed."""

from urllib.parse import quote

import httpx
import pytest

from .conftest import Served
from .seen import problem
from .test_download_names import by_path, hand_in, is_harmless, offered


@pytest.mark.parametrize(
    "name",
    [
        "e" + "\u0301" * 1000 + ".txt",
        "e" + "\u0301" * 1000,
        "a" * 250 + ". . ." + "b" * 50,
        "a" * 254 + " " + "b" * 50,
        "CON .txt",
        "nul  .tar.gz",
        "\u00a0",
        " \u3000.txt",
    ],
    ids=["accents and a suffix", "accents", "dots at the cut", "a space at the cut", "con", "nul", "a space", "spaces"],
)
def test_what_is_left_of_a_name_is_still_harmless(portal: Served, analyst: httpx.Client, name: str) -> None:
    created = hand_in(portal, analyst, "path", name)
    assert created.status_code == 201
    left = offered(portal, analyst, created.json()["id"])
    assert is_harmless(left)
    assert left.strip()


@pytest.mark.parametrize("name", ["a\nb", "a\r\nX-Evil: 1", "\n"], ids=ascii)
def test_a_line_break_in_a_path_is_a_malformed_name(portal: Served, analyst: httpx.Client, name: str) -> None:
    assert problem(by_path(portal, analyst, quote(name))) == (400, "invalid_input")
