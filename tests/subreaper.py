"""Runs a command and fails when a process that it started outlives it.

Comes in: a command, as `python -m tests.subreaper pytest -q`. Leaves: its exit code; or 1, the name of every process
that was left, and none of them alive. Every orphan becomes a child of this process (a "subreaper", prctl(2)), whatever
session, process group or environment it gave itself: a mark in the environment is wiped by Redis, nginx and Chromium.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_GRACE_SECONDS = 15.0  # workers notice within seconds that their parent is gone


def run(command: Sequence[str], grace: float = _GRACE_SECONDS) -> int:
    """Run `command`, wait for everything it started, and say what had to be killed."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    process = subprocess.Popen(command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the command too
    signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
    code = _code_of(process.pid)
    if _all_gone(grace):
        return code
    left = [f"{pid}: {_described(pid)}" for pid in _descendants(os.getpid())]
    while not _all_gone(0.2):
        for pid in _descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    print("still alive after the run, now killed:", *left, sep="\n  ", file=sys.stderr)
    return code or 1


def _code_of(command: int) -> int:
    """How the command ended. Orphans that end before it are reaped meanwhile."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == command:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _all_gone(seconds: float) -> bool:
    """Whether the last child ends in this time: then nothing is left, because every orphan becomes a child."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.05)
        return False
    return True


def _descendants(ancestor: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    waiting = list(children.get(ancestor, []))
    while waiting:
        yield (pid := waiting.pop())
        waiting += children.get(pid, [])


def _described(pid: int) -> str:
    """Its command, and its folder, which has the name of the test."""
    with contextlib.suppress(OSError):
        folder = Path(f"/proc/{pid}")
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return f"{command or (folder / 'comm').read_text().strip()} (in {(folder / 'cwd').readlink()})"
    return "(ended meanwhile)"


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
