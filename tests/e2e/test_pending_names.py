"""Pending: names that the form's parser shortens, and names that are offered as something less than harmless."""

from urllib.parse import quote

import httpx
import pytest

from .conftest import Served
from .raw import BOUNDARY, FORM
from .seen import problem
from .test_download_names import by_form, by_path, hand_in, is_harmless, offered


@pytest.mark.parametrize("name", ["C:\\x", "C:\\Users\\a\\b.txt", "\\\\srv\\share\\x", "\\\\"])
def test_a_form_keeps_a_windows_path_as_it_was_sent(portal: Served, analyst: httpx.Client, name: str) -> None:
    created = by_form(portal, analyst, name)
    assert (created.status_code, created.json()["name"]) == (201, name)


def test_a_form_of_a_browser_does_not_escape_backslashes(analyst: httpx.Client) -> None:
    body = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="C:\\x"\r\n\r\nx\r\n--{BOUNDARY}--\r\n'
    )
    created = analyst.post("/files", content=body, headers=dict([FORM.split(": ", 1)]))
    assert (created.status_code, created.json()["name"]) == (201, "C:\\x")


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


@pytest.mark.parametrize("filename", ['"a', '"a\r\nX-Evil: 1"', 'a"', '"a"b'], ids=ascii)
def test_a_form_name_whose_quotes_do_not_match_is_malformed(analyst: httpx.Client, filename: str) -> None:
    start = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename={filename}\r\n\r\n'
    body = f"{start}x\r\n--{BOUNDARY}--\r\n"
    refused = analyst.post("/files", content=body, headers=dict([FORM.split(": ", 1)]))
    assert problem(refused) == (400, "invalid_input")
