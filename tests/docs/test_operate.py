"""The operators' page has a row for everything that a start or a command refuses, in the words that are shown."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.db import reasons

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operate.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]
REFUSALS = {"ConfigError", "RateStoreAway", "DatabaseAway", "StoreAway"}
_SETTING = re.compile(r"PORTAL_[A-Z_]+\b.* (must|takes|is|are|needs)\b")


def spoken(node: ast.expr) -> str:
    """The longest piece of a message that does not change."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    parts = [part.value for part in getattr(node, "values", []) if isinstance(part, ast.Constant)]
    return max((part for part in parts if isinstance(part, str)), key=len, default="")


def refusals() -> Iterator[str]:
    for path in sorted((ROOT / "src" / "portal").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in REFUSALS:
                yield from (spoken(argument) for argument in node.args)
            elif path.name == "config.py" and isinstance(node, ast.Constant | ast.JoinedStr):
                text = spoken(node)
                if _SETTING.match(text):
                    yield text


def test_every_refusal_has_a_row() -> None:
    messages = {text.strip(" :;,(").removesuffix("; try again") for text in refusals() if len(text.strip()) > 10}
    assert len(messages) > 40
    assert any("is both" in text or "both set" in text for text in messages)
    assert [message for message in messages if not any(message in row for row in ROWS)] == []


@pytest.mark.parametrize("told", [told for told, _ in (*reasons._STATES.values(), *reasons._SQLITE.values())])
def test_every_reason_of_a_database_has_a_row(told: str) -> None:
    assert any(told in row for row in ROWS), told


@pytest.mark.parametrize(
    "event", ["unavailable", "not_ready", "proxy_not_trusted", "rate_store_away", "request_failed"]
)
def test_what_to_alert_on_is_named_as_the_log_names_it(event: str) -> None:
    assert f"`{event}`" in PAGE
    source = "".join(path.read_text() for path in (ROOT / "src" / "portal").rglob("*.py"))
    assert f'"{event}"' in source
