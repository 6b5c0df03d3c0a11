"""What is read from a trace: calls in the order in which they ended, however strace had to tell them."""

from pathlib import Path

from . import strace

TRACE = r"""
7     fsync(4</data/a>)                 = 0
7     write(4</data/a>, "= 5 <unfinished ...>\n", 21 <unfinished ...>
8     rename("/data/a", "/data/b")      = -1 EIO (Input/output error) (INJECTED)
7     <... write resumed>)              = 21
8     --- SIGTERM {si_signo=SIGTERM} ---
8     fsync(5</data/b> <unfinished ...>
7     write(4</data/a>, "x", 1 <detached ...>
9     +++ exited with 0 +++
"""


def test_a_call_told_in_two_lines_is_one(tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(TRACE.lstrip("\n"))
    first, renamed, written, *never = strace.read(tmp_path / "trace")
    assert (first.name, first.began, first.ended) == ("fsync", 0, 0)
    assert (renamed.failed, renamed.injected) == (True, True)
    assert (written.arguments, written.result) == (r'4</data/a>, "= 5 <unfinished ...>\n", 21', 21)
    assert (written.began, written.ended) == (1, 3)
    assert [(call.name, call.arguments, call.result, call.ended) for call in never] == [
        ("fsync", "5</data/b>", None, 8),
        ("write", '4</data/a>, "x", 1', None, 8),
    ]


def test_a_trace_is_complete_when_it_tells_how_its_process_ended(tmp_path: Path) -> None:
    (tmp_path / "trace").write_text(TRACE.lstrip("\n"))
    assert strace.ended(tmp_path / "trace", 9)
    assert not strace.ended(tmp_path / "trace", 8)
