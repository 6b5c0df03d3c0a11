"""The installed wheel carries what it needs: migrations and the template of settings."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The wheel of this checkout, unpacked as an installer would."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    return tmp_path / "site"


def test_init_and_db_check_work_from_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}

    def portal(*arguments: str) -> str:
        program = "import portal, sys; from portal.cli import main; print(portal.__file__, file=sys.stderr); main()"
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=folder,
            env=clean | {"PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert str(installed) in done.stderr
        return done.stdout

    assert "administrator: admin" in portal("init")
    assert portal("db", "upgrade") == "the database is current\n"
    assert portal("db", "check") == "the database is current\n"
    assert not (installed / "portal" / "migrations" / "__init__.py").exists()
