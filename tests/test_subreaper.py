"""Nothing that a run started may outlive it: the program that says so, seen from outside."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SLEEPER = "import sys, time; print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True); time.sleep(600)"

# Each starts a process that sleeps for ten minutes and ends itself at once.
WAYS = {
    "a child": "subprocess.Popen(sleeper)",
    "a daemon": "os.fork() or (os.setsid(), os.fork() or os.execve(sleeper[0], sleeper, {}))",
    "a child of a child that was killed": (
        "child = subprocess.Popen([sys.executable, '-c', f'import subprocess; subprocess.run({sleeper!r})']);"
        "[time.sleep(0.05) for _ in range(600) if not os.path.exists(sleeper[-1])]; child.kill()"
    ),
}


def under_the_subreaper(program: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; from tests.subreaper import run; sys.exit(run([sys.executable, '-c', {program!r}], 0.5))"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_outlives_a_run_is_named_ended_and_makes_it_fail(tmp_path: Path, way: str) -> None:
    note = tmp_path / "pid"
    sleeper = [sys.executable, "-c", f"import os; {SLEEPER}", str(note)]
    ran = under_the_subreaper(f"import os, subprocess, sys, time; sleeper = {sleeper!r}; {way}")
    (_, said, *_) = ran.stderr.splitlines()
    assert (ran.returncode, said.strip().startswith(f"{note.read_text().strip()}: ")) == (1, True), ran.stderr
    assert str(note) in said
    assert not Path(f"/proc/{note.read_text().strip()}").exists()


def test_a_run_that_leaves_nothing_keeps_its_exit_code() -> None:
    for code in (0, 3):
        ran = under_the_subreaper(f"import subprocess, sys; subprocess.run(['true']); sys.exit({code})")
        assert (ran.returncode, ran.stderr) == (code, "")


def test_what_ends_a_little_later_is_waited_for() -> None:
    ran = under_the_subreaper("import subprocess; subprocess.Popen(['sleep', '0.2'])")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_run_that_is_killed_has_failed() -> None:
    ran = under_the_subreaper("import os; os.kill(os.getpid(), 9)")
    assert (ran.returncode, ran.stderr) == (137, "")


def test_the_suite_is_run_this_way() -> None:
    commands = [line for line in (ROOT / "Makefile").read_text().splitlines() if "$(BIN)/pytest" in line]
    assert len(commands) >= 3
    assert all("-m tests.subreaper $(BIN)/pytest" in line for line in commands)
