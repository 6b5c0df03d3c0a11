"""`rclone serve webdav` over a crypt remote over a folder: what somebody would take who wants files encrypted at rest.

It comes with the development dependencies.
"""

import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.base import Peer, Server, free_port, output, spawned

_CONFIGURATION = """[sealed]
type = crypt
remote = {data}
password = {password}
"""


@contextmanager
def serve(folder: Path, _: int) -> Iterator[Server]:
    port, data, program = free_port(), folder / "data", _program() or "rclone"
    data.mkdir()
    configuration = folder / "rclone.conf"
    password = output(program, "--config", str(configuration), "obscure", secrets.token_hex(16)).splitlines()[-1]
    configuration.write_text(_CONFIGURATION.format(data=data, password=password))
    command = [program, "serve", "webdav", "sealed:", "--config", str(configuration), "--addr", f"127.0.0.1:{port}"]
    command += ["--vfs-cache-mode", "off", "--cache-dir", str(folder / "cache")]
    with spawned(command, folder, port) as pid:
        yield Server("rclone", pid, port, data)


def _program() -> str | None:
    """The one beside our Python, else one on the PATH."""
    return shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")


def _missing() -> str | None:
    return None if _program() else "no rclone: install the development dependencies"


def _version() -> str:
    return output(_program() or "rclone", "--config", "/dev/null", "version").splitlines()[0].removeprefix("rclone v")


PEER = Peer(
    "rclone",
    "encrypts, and does not fsync; tells no digest, keeps no row, asks nobody's leave, has no record",
    missing=_missing,
    version=_version,
    serve=serve,
)
