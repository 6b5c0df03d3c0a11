"""A portal that is forked is like one that is started, and it ends when the process that asked for it ends."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .e2e.conftest import MakePortal, Served, make_portal
from .e2e.seen import eventually
from .prepared import ROOT, Prepared, Process, prepared

__all__ = ["make_portal"]

COMMANDS = ["--version", "users", "nonsense", "--env-file nowhere sweep", "db check"]
ASKS_AND_IS_KILLED = """
import json, os, pathlib, sys
from tests.prepared import prepared

folder, environment = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
with open(os.devnull, "r+b") as nothing:
    forks = prepared(environment)
    portal = forks.start(["worker"], cwd=folder, env=environment, streams=[nothing] * 3)
print(portal.pid, forks.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def served(make_portal: MakePortal) -> Served:
    """One that is forked and serves."""
    portal = make_portal()
    portal.prepare()
    portal.start()
    return portal


@pytest.fixture
def process(served: Served) -> Process:
    assert isinstance(served.process, Process)
    return served.process


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_does_what_it_does_in_a_fresh_interpreter(make_portal: MakePortal, command: str) -> None:
    portal = make_portal(TYPO="1")
    forked, portal.fresh = portal.cli(*command.split(), check=False), True
    fresh = portal.cli(*command.split(), check=False)
    assert (forked.returncode, forked.stdout, forked.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr)


def test_one_that_serves_looks_from_outside_like_a_fresh_one(make_portal: MakePortal, served: Served) -> None:
    fresh = make_portal()
    fresh.fresh = True
    fresh.prepare()
    fresh.start()
    assert from_outside(served) == from_outside(fresh)


def from_outside(portal: Served) -> dict[str, Any]:
    """Signals, umask, limits, and what is open by kind, but for what comes and goes: connections and the database."""
    assert portal.process is not None
    folder = Path(f"/proc/{portal.process.pid}")
    lines = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines())
    told = {name: lines[name] for name in ("Umask", "SigBlk", "SigIgn", "SigCgt")}
    links = [link.replace(str(portal.folder), "").split("[")[0] for link in open_in(folder)]
    staying = sorted(link for link in links if not link.startswith(("/var", "socket:")))
    return told | {"limits": (folder / "limits").read_text(), "open": staying}


def open_in(process: Path) -> Iterator[str]:
    """What the descriptors of a process lead to. The jobs of a portal close some while they are read."""
    for link in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(link.readlink())


def test_an_end_by_a_signal_is_a_negative_code_and_a_signal_after_it_no_error(process: Process) -> None:
    assert process.poll() is None
    process.kill()
    assert (process.wait(20), process.poll(), process.returncode) == (-signal.SIGKILL,) * 3
    process.terminate()


def test_one_that_stands_still_has_not_ended(process: Process) -> None:
    process.send_signal(signal.SIGSTOP)
    process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    process.send_signal(signal.SIGCONT)
    assert process.wait(20) == 0


def test_the_process_that_forks_has_one_thread_and_nothing_open_of_the_portals_it_forked(served: Served) -> None:
    """A fork takes one thread along: a lock that another one holds would never be released."""
    folder = Path(f"/proc/{prepared(served.environment).pid}")
    assert len(list((folder / "task").iterdir())) == 1
    assert not any(str(served.folder) in link for link in open_in(folder))


def test_it_ends_with_the_process_that_asked_and_so_do_its_portals(make_portal: MakePortal) -> None:
    portal = make_portal()
    portal.prepare()
    command = [sys.executable, "-c", ASKS_AND_IS_KILLED, str(portal.folder), json.dumps(portal.environment)]
    ran = subprocess.run(command, cwd=ROOT, env=portal.environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (-signal.SIGKILL, "")
    folders = [Path(f"/proc/{pid}") for pid in ran.stdout.split()]
    assert len(folders) == 2
    assert eventually(lambda: not any(folder.exists() for folder in folders))


def test_one_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "portal.py").write_text("import nowhere")
    environment = dict(os.environ) | {"PYTHONPATH": str(tmp_path)}
    forks = Prepared(environment)
    with pytest.raises(ChildProcessError, match="No module named 'nowhere'"), Path(os.devnull).open("r+b") as nothing:
        forks.start([], cwd=tmp_path, env=environment, streams=[nothing] * 3)
    forks.end()
