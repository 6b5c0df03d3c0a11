"""What an upload costs, where noise cannot fake it: processor time against a program that only seals, memory, syncs."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.goals import GOALS
from bench.plan import MIB, QUICK
from bench.runner import run

from ..conftest import skip

SIZES = replace(QUICK, large=64 * MIB, huge=128 * MIB, warm_up=16 * MIB, rounds=3)


def measured(folder: Path, row: str) -> dict[str, float]:
    """The medians of one row, for files that are large enough to tell and small enough for every change."""
    found: dict[str, Any] = run(folder, SIZES, only=[row], rounds=None)["rows"][row]["figures"]
    return {variant: figure["median"] for variant, figure in found.items()}


@pytest.mark.parametrize("row", ["cpu_1g", "memory_256m"])
def test_an_upload_takes_no_more_processor_and_memory_than_the_goal(tmp_path: Path, row: str) -> None:
    medians = measured(tmp_path, row)
    (goal,) = (goal for goal in GOALS if goal.row == row)
    ratio = goal.measured(medians)
    assert ratio is not None
    assert goal.met(ratio), medians


def test_an_upload_syncs_its_blob_two_folders_and_two_commits_and_a_small_one_its_only_commit(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        skip("no strace: install it, or let .ci/run do it")
    calls = run(tmp_path, SIZES, only=["system_calls"], rounds=None)["system_calls"]
    assert calls == {"4 KiB": {"fdatasync": 1}, "8 MiB": {"fsync": 3, "fdatasync": 2, "rename": 1}}
