"""`kill -9` at random moments under load: nothing acknowledged is lost, nothing unacknowledged is seen.

PORTAL_TEST_KILLS_FOLDER names a folder that outlives the run: the same command goes on where it was interrupted.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from ..e2e.conftest import Served
from .amounts import amount
from .conftest import Figures
from .kills import machine

PARTS = 3  # each with a portal of its own, so that they can run beside each other


@pytest.mark.parametrize("part", range(PARTS))
def test_no_kill_loses_what_was_acknowledged_or_shows_what_was_not(part: int, tmp_path: Path, figures: Figures) -> None:
    folder = Path(os.environ.get("PORTAL_TEST_KILLS_FOLDER") or tmp_path) / f"part-{part}"
    with machine(folder) as kills:
        kills.run((amount("KILLS") + part) // PARTS)
        figures(**kills.figures())


def test_an_interrupted_run_goes_on_and_knows_what_was_acknowledged(tmp_path: Path) -> None:
    with machine(tmp_path / "kept") as first:
        first.run(2)
    with machine(tmp_path / "kept") as second:
        assert second.journal.held == first.journal.held
        assert second.journal.in_doubt == first.journal.in_doubt
        second.run(3)
        assert len(second.journal.kills) == 3
    with machine(tmp_path / "kept") as third:
        third.run(3)  # there is no more to do
        assert third.journal.kills == second.journal.kills
        lose(third.portal, next(iter(third.journal.held)))
        with pytest.raises(AssertionError, match="acknowledged and not there"):
            third.run(3)


def lose(portal: Served, file: str) -> None:
    """Take a file out of the catalogue, as a portal that forgot it would."""
    with closing(sqlite3.connect(portal.folder / "var" / "portal.db")) as connection, connection:
        changed = connection.execute("DELETE FROM files WHERE id = ?", (UUID(file).hex,))
        assert changed.rowcount == 1
