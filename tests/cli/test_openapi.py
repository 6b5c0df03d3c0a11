"""`portal openapi`: the document, wherever the portal runs."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_the_document_is_printed_without_settings_and_in_production_too(tmp_path: Path) -> None:
    given = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
    given["PORTAL_ENV"] = "production"
    command = [sys.executable, "-m", "portal", "openapi"]
    ran = subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, check=True)
    document = json.loads(ran.stdout)
    assert len(document["paths"]) > 30
    assert document["info"]["title"] == "portal"
    assert list(tmp_path.iterdir()) == []
