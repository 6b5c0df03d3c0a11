"""The page of the architecture names rooms and modules that are there, and leaves no room out."""

import re
from pathlib import Path

import pytest

import portal

SOURCE = Path(portal.__file__).parent
ROOT = SOURCE.parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text()
ROOMS = PAGE.partition("## Rooms")[2].partition("```\n")[2].partition("```")[0]
PATH = re.compile(r"`([a-z_]+(?:/[a-z_]+)*(?:/|\.py))`")
HOMES = (ROOT, SOURCE, SOURCE / "features", *(path for path in (SOURCE / "features").iterdir() if path.is_dir()))


@pytest.mark.parametrize("path", sorted(set(PATH.findall(PAGE))))
def test_a_path_of_the_page_is_there(path: str) -> None:
    assert any((home / path).exists() for home in HOMES) or (SOURCE / "backends/blobs" / path).exists()


def test_every_room_is_on_the_page() -> None:
    rooms = {f"{path.name}/" for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    rooms |= {f"{path.name}/" for path in (SOURCE / "features").rglob("*") if (path / "__init__.py").exists()}
    rooms |= {path.name for path in SOURCE.glob("*.py") if not path.name.startswith("__")}
    named = {line.split()[0] for line in ROOMS.splitlines() if line.strip()}
    assert rooms <= named
