"""The driver from outside: starts it, asks it, sees what it holds open.

Comes in: a prepared portal. Leaves: its services in a process of their own, one answer for each command.
"""

import json
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..e2e.conftest import PASSWORD, Served
from ..prepared import Process, prepared

_PROGRAM = Path(__file__).with_name("driver.py")
_PATIENCE_SECONDS = 120  # a database that is locked is asked for ten


class Driven:
    """A running driver."""

    def __init__(self, portal: Served, process: Process, line: socket.socket) -> None:
        self.portal, self._process = portal, process
        self._line = line.makefile("rwb")

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, verb: str, *arguments: object) -> dict[str, Any]:
        """The answer, whatever it says."""
        self._line.write(" ".join([verb, *map(str, arguments)]).encode() + b"\n")
        self._line.flush()
        answer: dict[str, Any] = json.loads(self._line.readline() or b'{"unforeseen": "the driver ended"}')
        return answer

    def do(self, verb: str, *arguments: object) -> dict[str, Any]:
        """The answer of what has to pass."""
        answer = self.ask(verb, *arguments)
        assert answer.get("ok"), (verb, answer)
        assert answer["told"] == [], (verb, answer)
        return answer

    def descriptors(self) -> dict[int, str]:
        """What is open, by number."""
        folder = Path(f"/proc/{self.pid}/fd")
        return {int(entry.name): str(entry.readlink()) for entry in folder.iterdir()}

    def limit_files(self, size: int = resource.RLIM_INFINITY) -> None:
        """No file may grow beyond `size` bytes: a write that crosses it is cut short, the next one fails."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextmanager
def driven(portal: Served, name: str) -> Iterator[Driven]:
    """A driver over `portal`, signed in as `name`. What Python had to say in the end must be nothing."""
    ours, theirs = socket.socketpair()
    at, env = portal.folder, portal.environment
    with theirs, (at / "driver.log").open("ab") as log:
        process = prepared(env).start([], cwd=at, env=env, streams=(theirs, log, log), program=_PROGRAM)
    ours.settimeout(_PATIENCE_SECONDS)
    try:
        with ours:
            driver = Driven(portal, process, ours)
            driver.do("open")
            driver.do("sign_in", name, PASSWORD)
            yield driver
            ours.shutdown(socket.SHUT_RDWR)
        assert process.wait(_PATIENCE_SECONDS) == 0
        assert (portal.folder / "driver.log").read_text() == ""
    finally:
        process.kill()
        process.wait()
