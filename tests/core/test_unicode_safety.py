"""Letters that nobody sees: what Unicode calls so, and no letter that anybody writes."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.core.unicode_safety import is_invisible, visible

UNSEEN = [
    *(
        "\0",
        "\n",
        "\x1b",
        "\x7f",
        "\x85",
        "\u200b",
        "\u200d",
        "\u202e",
        "\u2066",
        "\ufeff",
        "\u00ad",
        "\u2028",
        "\u2029",
    ),
    *("\u034f", "\u115f", "\u1160", "\u17b4", "\u180b", "\u3164", "\uffa0", "\ufe0f", "\U000e0041", "\U000e0100"),
    *("\u2800", "\ud800", "\ue000", "\u0378", "\uffff", "\ufff0", "\U000e0fff"),
]
SEEN = [
    "a",
    "Z",
    "7",
    "é",
    "\u0301",
    "\u0430",
    "報",
    "한",
    "\u1100",
    "م",
    "\U0001f600",
    "\u2801",
    ".",
    "_",
    "-",
    " ",
    "\u00a0",
]


@pytest.mark.parametrize("character", UNSEEN, ids=lambda character: f"U+{ord(character):04X}")
def test_what_nobody_sees(character: str) -> None:
    assert is_invisible(character)


@pytest.mark.parametrize("character", SEEN, ids=lambda character: f"U+{ord(character):04X}")
def test_what_people_write(character: str) -> None:
    assert not is_invisible(character)


@given(st.characters())
def test_no_control_format_or_surrogate_is_ever_seen(character: str) -> None:
    assert is_invisible(character) or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bericht_é🔑.pdf\nzwei", "Bericht_é🔑.pdf\nzwei"),
        ("\x1b[2J\r\t\x00", "\\x1b[2J\\r\\t\\x00"),
        ("\x7f\x9b31m", "\\x7f\\x9b31m"),
        ("\u202egpj.exe\u2066\u2028", "\\u202egpj.exe\\u2066\\u2028"),
    ],
)
def test_a_terminal_is_given_no_orders(text: str, shown: str) -> None:
    assert visible(text) == shown
