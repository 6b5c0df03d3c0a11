"""copyparty: the file server in Python that people pick, with an account and its index of files.

It comes with the development dependencies.
"""

import importlib.util
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from bench.peers.base import Peer, Server, free_port, spawned

_USER = "bench"


@dataclass(frozen=True, slots=True)
class Copyparty(Server):
    """A running one, and who speaks to it."""

    password: str = field(repr=False)

    def request(self, method: str, path: str, *, length: int | None = None, more: str = "") -> bytes:
        return Server.request(self, method, path, length=length, more=f"PW: {self.password}\r\n{more}")


@contextmanager
def serve(folder: Path, _: int) -> Iterator[Server]:
    port, data, password = free_port(), folder / "data", secrets.token_hex(16)
    data.mkdir()
    command = ["env", f"XDG_CONFIG_HOME={folder}", sys.executable, "-m", "copyparty"]
    command += ["-i", "127.0.0.1", "-p", str(port), "-a", f"{_USER}:{password}", "-v", f"{data}:/:rwmd,{_USER}"]
    command += ["-e2d", "--no-crt", "-q"]  # an index, no certificate, and no line for each request: nobody else has one
    with spawned(command, folder, port) as pid:
        yield Copyparty("copyparty", pid, port, data, password)


def _missing() -> str | None:
    return None if importlib.util.find_spec("copyparty") else "no copyparty: install the development dependencies"


PEER = Peer(
    "copyparty",
    "asks for a password, hashes, and keeps an index; does not encrypt or fsync; has no record",
    missing=_missing,
    version=lambda: version("copyparty"),
    serve=serve,
)
