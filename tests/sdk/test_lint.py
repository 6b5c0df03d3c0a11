"""Two linters of OpenAPI find nothing in the document: Spectral's own rules and Redocly's recommended ones."""

import json
from pathlib import Path

from .conftest import run, tool


def test_spectral_finds_nothing(document: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"extends": ["spectral:oas"]}))
    command = [tool("spectral"), "lint", "--ruleset", str(rules), "--fail-severity", "hint", "--format", "json"]
    told = run(*command, str(document), folder=tmp_path)
    assert told.startswith("[]")


def test_redocly_finds_nothing(document: Path, tmp_path: Path) -> None:
    command = [tool("redocly"), "lint", "--extends", "recommended", "--format", "json", str(document)]
    told = json.loads(run(*command, folder=tmp_path, REDOCLY_TELEMETRY="off", CI="true"))
    assert told["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}
    assert told["problems"] == []
