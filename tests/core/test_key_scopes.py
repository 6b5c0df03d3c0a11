"""Scopes have one notation."""

import pytest

from portal.core.key_scopes import NO_CASE, is_scope

HEX = "0123456789abcdef" * 2


@pytest.mark.parametrize("text", [NO_CASE, f"case:{HEX}", f"case:{'0' * 32}"])
def test_a_scope(text: str) -> None:
    assert is_scope(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "none\n",
        " none",
        "case:",
        HEX,
        f"case:{HEX}\n",
        f"case:{HEX}0",
        f"case:{HEX[1:]}",
        f"case:{HEX.upper()}",
        f"CASE:{HEX}",
        f"nonecase:{HEX}",
        "case:01234567-89ab-cdef-0123-456789abcdef",
        "case:" + "\N{ARABIC-INDIC DIGIT ONE}" * 32,
    ],
)
def test_no_scope(text: str) -> None:
    assert not is_scope(text)
