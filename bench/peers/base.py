"""What every server has in common: how it is started, proved to own its port, spoken to, and ended.

Comes in: a command. Leaves: a `Server` while the block runs. Next: `transfer` talks to it.
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.failure import Failed
from bench.places import ROOT

_START_SECONDS = 60
_STOP_SECONDS = 40
_KILL = 9


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an upload is: its content, the entry to delete, and the digest the server told, if it told one."""

    content: str
    entry: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """A running peer that speaks WebDAV's verbs: what is PUT at a path is there at that path.

    `folder` is where it keeps what it was given.
    """

    name: str
    pid: int
    port: int
    folder: Path

    def request(self, method: str, path: str, *, length: int | None = None, more: str = "") -> bytes:
        """The head of a request; `more` has lines of its own."""
        sized = "" if length is None else f"Content-Length: {length}\r\n"
        return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{sized}{more}\r\n".encode()

    def upload_path(self, name: str) -> str:
        return f"/{name}"

    def stored(self, name: str, body: bytes) -> Stored:  # noqa: ARG002  # the portal answers with an entry
        """Where the upload of this name is, by the answer's body."""
        return Stored(f"/{name}", f"/{name}")


@dataclass(frozen=True, slots=True)
class Peer:
    """One who may take part. `lacks` says what it does not do, `missing` why it cannot take part, if it cannot."""

    name: str
    lacks: str
    missing: Callable[[], str | None]
    version: Callable[[], str]
    serve: Callable[[Path, int], AbstractContextManager[Server]] | None  # with so many workers, where it has workers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def spawned(
    command: Sequence[str], folder: Path, port: int, *, at: Path = ROOT, patience: float = _STOP_SECONDS
) -> Iterator[int]:
    """Run a server in the folder `at`; its id, once it or a child of it listens on the port.

    Its output goes to a log in `folder`. It is killed where it has not ended within `patience` seconds.
    """
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=at,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, port, folder / "server.log")
        yield process.pid
    finally:
        _end(process, patience)


def environment() -> dict[str, str]:
    """Ours, without a portal's settings that somebody left there, and with compiled modules kept: they start sooner."""
    unwanted = ("PORTAL_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def output(*command: str) -> str:
    """What a program prints, on either stream."""
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True).stdout


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while not processes.listens(process.pid, port):
        if process.poll() is not None or time.monotonic() > give_up:
            raise Failed(f"{process.args!r} did not come to listen on its port: {log.read_text()[-2000:]}")
        time.sleep(0.02)


def _end(process: "subprocess.Popen[bytes]", patience: float) -> None:
    """This one and its children, by their ids, and nobody else."""
    family = processes.tree(process.pid)
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, _KILL)
        process.wait()
