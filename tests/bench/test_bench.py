"""The benchmark runs, tells the truth about what it saw, and the README says what it found."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import client, processes, report, system_calls, terminal
from bench.failure import Failed
from bench.figures import figure, rotated
from bench.goals import GOALS, Bound, Goal
from bench.peers import PEERS
from bench.places import LATEST, README, ROOT
from bench.plan import FULL, ROWS, written
from bench.rows import JOBS
from bench.signature import Signer

from ..conftest import skip


def quick_run(folder: Path) -> dict[str, Any]:
    """One real run of everything at tiny sizes."""
    for name, peer in PEERS.items():
        if why := peer.missing():
            skip(f"{name} does not take part: {why}")
    if shutil.which("strace") is None:
        skip("no strace: install it, or let .ci/run do it")
    command = [sys.executable, "-m", "bench", "--quick", "--json", "--folder", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def made(**medians: float) -> dict[str, Any]:
    """Results with one row."""
    figures = {name.replace("_", " "): asdict(figure([value, value])) for name, value in medians.items()}
    row = {"what": "one upload", "unit": "MiB/s", "figures": figures}
    versions = dict.fromkeys(("Python", "cryptography", *PEERS), "1")
    common = {"date": "2026-01-02", "quick": False, "machine": {"cores": "2"}, "versions": versions}
    return {**common, "skipped": {}, "rows": {"upload_1g": row}, "system_calls": {}}


def test_a_quick_run_measures_every_variant_of_every_row_and_sees_the_syncs(tmp_path: Path) -> None:
    quick = quick_run(tmp_path)
    assert quick["skipped"] == {}
    assert {row: set(found["figures"]) for row, found in quick["rows"].items()} == {
        row: set(plan.variants) for row, plan in ROWS.items()
    }
    for found in quick["rows"].values():
        for one in found["figures"].values():
            assert one["n"] == 1
            assert one["min"] <= one["median"] <= one["max"]

    assert set(quick["system_calls"]) == {"4 KiB", "8 MiB"}
    for calls in quick["system_calls"].values():
        assert sum(calls.get(name, 0) for name in system_calls.SYNCS) > 0


def test_the_readme_says_what_the_last_results_say() -> None:
    readme = README.read_text()
    assert report.with_table(readme, json.loads(LATEST.read_text())) == readme


def test_a_run_of_some_rows_is_not_kept() -> None:
    command = [sys.executable, "-m", "bench", "--save", "--only", "small_4k"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 2


def test_a_figure_is_a_median_with_its_range() -> None:
    assert asdict(figure([5, 1, 9, 2])) == {"n": 4, "median": 3.5, "min": 1, "max": 9}


def test_everybody_is_first_once() -> None:
    orders = [rotated(["a", "b", "c"], turn) for turn in range(4)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


@pytest.mark.parametrize(
    ("goal", "measured", "met", "exceeded"),
    [
        (Goal("r", "x", Bound.LEAST, 0.8, reach=0.9), 0.79, False, False),
        (Goal("r", "x", Bound.LEAST, 0.8, reach=0.9), 0.80, True, False),
        (Goal("r", "x", Bound.LEAST, 0.8, reach=0.9), 0.90, True, True),
        (Goal("r", "x", Bound.MOST, 1.35), 1.35, True, False),
        (Goal("r", "x", Bound.MOST, 1.35), 1.36, False, False),
    ],
)
def test_a_goal_has_a_good_side(goal: Goal, measured: float, met: bool, exceeded: bool) -> None:
    assert (goal.met(measured), goal.exceeded(measured)) == (met, exceeded)


def test_a_ratio_needs_both() -> None:
    goal = Goal("r", "nginx", Bound.LEAST, 0.8)
    assert goal.measured({"portal": 50, "nginx": 100}) == 0.5
    assert goal.measured({"portal": 50}) is None
    assert Goal("r", None, Bound.MOST, 12).measured({"portal": 7}) == 7


def test_every_goal_is_about_somebody_in_its_row() -> None:
    for goal in GOALS:
        assert goal.over in {None, *ROWS[goal.row].variants[1:]}
        assert ROWS[goal.row].variants[0] == "portal"


def test_every_row_has_its_job_and_its_line_on_the_page() -> None:
    assert sorted(row for job in JOBS for row in job.rows) == sorted(ROWS)
    page = (ROOT / "docs" / "benchmark.md").read_text()
    for name in [*ROWS, *PEERS, "system_calls"]:
        assert f"`{name}`" in page, name


def test_the_report_judges_and_says_what_the_others_do_not_do() -> None:
    text = report.markdown(made(portal=850, nginx=1000, rclone=200))
    assert "| upload_1g | one upload | 0.85 of nginx's | ≥ 0.80, better 0.90 | yes |" in text
    assert "| upload_1g | one upload | 4.25 of rclone's | ≥ 3.50, better 4.00 | better |" in text
    assert f"nginx (1) {PEERS['nginx'].lacks}." in text


def test_who_is_not_there_is_named() -> None:
    results = made(portal=850, rclone=200)
    results["skipped"]["nginx"] = "no nginx"
    text = report.markdown(results)
    assert "| no nginx | ≥ 0.80, better 0.90 |  |" in text
    assert "| skipped |" in text
    assert "- nginx was skipped: no nginx." in text


def test_a_quick_run_says_that_it_is_one() -> None:
    assert "quick run" not in report.markdown(made(portal=1))
    assert "quick run" in report.markdown({**made(portal=1), "quick": True})


def test_a_terminal_of_80_columns_shows_every_row_and_goal_whole() -> None:
    """With figures as wide as they come, and with nobody beside the portal."""
    for width in (1, 2):
        results = made()
        results["rows"] = {
            name: {
                "what": row.what.format(**FULL.names),
                "unit": row.unit,
                "figures": {one: asdict(figure([12345.6])) for one in row.variants[:: 1 if width == 1 else 99]},
            }
            for name, row in ROWS.items()
        }
        shown = io.StringIO()
        terminal.show(results, Console(file=shown, width=80))
        lines = shown.getvalue().splitlines()
        assert max(map(len, lines)) <= 80
        for _, what, *cells in report.goals(results)[1:]:
            assert any(all(cell in line for cell in cells) for line in lines), cells
            assert any(f": {what}, " in line for line in lines), what


@pytest.mark.parametrize(
    ("value", "text"), [(0.0567, "0.06"), (3.14159, "3.14"), (42.05, "42.0"), (123.4, "123"), (4567.8, "4,568")]
)
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert report.number(value) == text


def test_sizes_are_whole_units() -> None:
    sizes = {"large": "256 MiB", "huge": "1 GiB", "giant": "4 GiB", "parallel": "64 MiB"}
    assert sizes | {"many": "1,000,000"} == FULL.names
    assert written(4096) == "4 KiB"


def test_a_request_is_signed_as_the_standard_signs_its_example() -> None:
    """Amazon's documentation of Signature Version 4, "GET object"."""
    signer = Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    headers = {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9"}
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    signed = signer.signed("GET", "/test.txt", headers, datetime(2013, 5, 24, tzinfo=UTC), nothing)
    assert signed["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )
    assert "wJalrXUtnFEMI" not in repr(signer)


def test_an_answer_is_as_long_as_its_head_says() -> None:
    assert client.parse(b"HTTP/1.1 200 OK\r\nContent-Le") is None
    answer = client.parse(b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
    assert answer == client.Answer(201, 62, 5, closes=True)
    assert client.parse(b"HTTP/1.1 204 No Content\r\n\r\n") == client.Answer(204, 27, 0, closes=False)
    with pytest.raises(Failed):
        client.parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nsigh", "status 500: b'sigh'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsi", "broke off after 40 bytes"),
        (b"", "broke off after 0 bytes"),
    ],
)
def test_what_is_no_whole_success_fails_the_run(answer: bytes, said: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(Failed, match=said):
            client.exchange(ours, b"GET / HTTP/1.1\r\n\r\n")


def test_nobody_owns_a_port_that_somebody_else_listens_on() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            assert not processes.listens(other.pid, port)
            assert processes.listens(os.getpid(), port)
        other.communicate(b"\n")


SYNCED = "7 fsync(9</store/tmp/a>) = 0\n"
RENAMED = '7 rename("/store/tmp/a", "/store/blobs/a") = 0\n'
FOLDER = "7 fsync(9</store/blobs>) = 0\n"


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        (SYNCED + RENAMED + FOLDER, None),
        ("7 fdatasync(9</var/portal.db-wal>) = 0\n", None),
        (RENAMED + FOLDER, "had not been synced"),
        (SYNCED + RENAMED, "nothing was synced after"),
        (SYNCED.replace("= 0", "= -1 EIO (Input/output error)") + RENAMED + FOLDER, "had not been synced"),
        ("", "nothing was synced"),
    ],
)
def test_a_blob_is_synced_before_its_rename_and_something_after(trace: str, said: str | None) -> None:
    fault = system_calls.fault(system_calls.read(trace))
    assert fault is None if said is None else said in str(fault)


def test_calls_that_were_cut_in_the_trace_are_joined_where_they_ended() -> None:
    trace = "7 fsync(9</a> <unfinished ...>\n8 fsync(3</b>) = 0\n7 <... fsync resumed>) = 0\n"
    assert system_calls.read(trace) == [("fsync", "3</b>"), ("fsync", "9</a>")]
