"""Tools of other languages, installed by `make sdk`, and a portal to play with. Where one is missing, it is named."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import skip
from ..e2e.conftest import Served, running

HERE = Path(__file__).parent
PYTHON_BIN = HERE / "python" / ".venv" / "bin"
NODE_BIN = HERE / "node" / "node_modules" / ".bin"
GO_CACHE = HERE / ".go-cache"  # of the standard library, which `make sdk` compiles
_SHORT_LIVED = (
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # a Java that runs for two seconds: compile little, one thread
)
_PATIENCE_SECONDS = 280


def tool(name: str) -> str:
    """The path of a program that `make sdk` installed. Skips, by name, where it is missing."""
    found = next((folder / name for folder in (PYTHON_BIN, NODE_BIN) if (folder / name).exists()), None)
    if found is None:
        skip(f"no {name}: make sdk")
    return str(found)


def run(*command: str, folder: Path, **variables: str) -> str:
    """What the program printed. Fails with all it said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
    path = f"{PYTHON_BIN}{os.pathsep}{environment['PATH']}"
    tools = {"PATH": path, "NO_COLOR": "1", "GOCACHE": str(GO_CACHE), "JDK_JAVA_OPTIONS": _SHORT_LIVED}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | tools | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_SECONDS,
    )
    if done.returncode != 0:
        pytest.fail(f"{Path(command[0]).name} {' '.join(command[1:])}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
    return done.stdout


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A portal with an analyst."""
    with running(tmp_path_factory.mktemp("sdk") / "portal", {}, analyst="analyst") as made:
        yield made


@pytest.fixture(scope="session")
def document(played: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `portal openapi` prints: the file that a generator reads."""
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(played.cli("openapi").stdout)
    return path
