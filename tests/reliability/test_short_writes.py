"""A write that the system cuts short, at many bytes of a blob and of the database's log, and refuses from then on.

RLIMIT_FSIZE does it: what crosses the limit is written up to it, the next write fails with EFBIG. After each cut all is
as after any other fault (`faults.py`): nothing is kept of the upload, and the next one passes.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.crypto.blob import PREAMBLE_SIZE, stored_length
from portal.crypto.format import HEAD_SIZE
from portal.crypto.layout import PRODUCTION

from ..e2e.conftest import MakePortal
from .conftest import Figures
from .driven import driven
from .faults import LARGE, Bench, prepared

LENGTH = stored_length(PRODUCTION, LARGE)
IN_THE_BLOB = (0, HEAD_SIZE, PREAMBLE_SIZE, 600_000, HEAD_SIZE + PRODUCTION.segment, 1_200_000, 2 << 20, LENGTH)
LOG_HEADER, FRAME_HEADER, FRAME = 32, 24, 24 + 4096  # bytes; a frame holds one page
FRAMES = 30  # more than one upload writes


@pytest.fixture
def bench(make_portal: MakePortal, tmp_path: Path) -> Iterator[Bench]:
    portal = make_portal()
    portal.prepare(analyst="analyst")
    with driven(portal, "analyst") as driver:
        bench = prepared(driver, "upload", tmp_path / "trace")
        yield bench
        bench.assert_whole()


def test_a_blob_cut_short_at_any_byte_leaves_nothing(bench: Bench, figures: Figures) -> None:
    places = {mark + by for mark in IN_THE_BLOB for by in (-4096, -1, 0, 1, 4096)}
    for place in sorted(place for place in places if 0 <= place < LENGTH):
        assert bench.cut(place, blob=True).get("code") == "storage_full"
    figures(places_in_the_blob=bench.runs)
    assert bench.cut(LENGTH, blob=True)["ok"]


def test_a_database_log_cut_short_at_any_byte_keeps_what_was_acknowledged(bench: Bench, figures: Figures) -> None:
    for frame in range(FRAMES):
        inside = (0, FRAME_HEADER // 2, FRAME_HEADER, 2000)[frame % 4]
        bench.cut(LOG_HEADER + frame * FRAME + inside, blob=False)
    figures(places_in_the_log=bench.runs, **bench.seen)
    assert bench.cut(LOG_HEADER + FRAMES * FRAME, blob=False)["ok"]
