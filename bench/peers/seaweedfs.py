"""SeaweedFS as an S3 server, asked with SSE-C: what does to the bytes what the portal does, and asks who calls.

Every request is signed and brings the key of 256 bits that the object is encrypted with. It comes with the development
dependencies; its master, volume server, filer and S3 gateway are one process.
"""

import base64
import hashlib
import json
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench import client
from bench.failure import Failed
from bench.peers.base import Peer, Server, Stored, free_port, output, spawned
from bench.signature import Signer

_BUCKET = "/bench"
_SSE_C = "x-amz-server-side-encryption-customer-"
_BODIES = {"PUT", "GET"}  # what the key is needed for
_VOLUME_MIB = 1024
_PORTS = ("master", "volume", "filer", "s3")
_START_SECONDS = 60
_STOP_SECONDS = 0.2  # it would say goodbye to itself for longer than most rows take


@dataclass(frozen=True, slots=True)
class SeaweedFS(Server):
    """A running one, who speaks to it, and the key of what they store."""

    signer: Signer
    key: bytes = field(repr=False)

    def request(self, method: str, path: str, *, length: int | None = None, more: str = "") -> bytes:
        host = {"host": f"127.0.0.1:{self.port}"}
        encryption = self._encryption() if method in _BODIES and path != _BUCKET else {}
        signed = self.signer.signed(method, path, host | encryption, datetime.now(UTC))
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items() if name != "host")
        return Server.request(self, method, path, length=length, more=lines + more)

    def upload_path(self, name: str) -> str:
        return f"{_BUCKET}/{name}"

    def stored(self, name: str, body: bytes) -> Stored:  # noqa: ARG002  # the answer is empty
        return Stored(self.upload_path(name), self.upload_path(name))

    def _encryption(self) -> dict[str, str]:
        digest = hashlib.md5(self.key, usedforsecurity=False).digest()  # S3 wants it: a check against slips
        return {
            f"{_SSE_C}algorithm": "AES256",
            f"{_SSE_C}key": base64.b64encode(self.key).decode(),
            f"{_SSE_C}key-md5": base64.b64encode(digest).decode(),
        }


@contextmanager
def serve(folder: Path, _: int) -> Iterator[Server]:
    signer, data = Signer(secrets.token_hex(8), secrets.token_hex(16)), folder / "data"
    data.mkdir()
    (folder / "s3.json").write_text(_accounts(signer))
    ports = {name: (free_port(), free_port()) for name in _PORTS}  # each speaks HTTP and gRPC
    with _sockets(ports) as sockets:
        command, port = _command(folder, sockets, ports), ports["s3"][0]
        with spawned(command, folder, port, at=folder, patience=_STOP_SECONDS) as pid:
            yield _with_bucket(SeaweedFS("seaweedfs", pid, port, data, signer, secrets.token_bytes(32)))


@contextmanager
def _sockets(ports: dict[str, tuple[int, int]]) -> Iterator[Path]:
    """A folder whose path is short enough for sockets. Each part has one more in a place that no option moves."""
    try:
        with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder:
            yield Path(folder)
    finally:
        for name, (_, grpc) in ports.items():
            Path(f"/tmp/seaweedfs-{name}-grpc-{grpc}.sock").unlink(missing_ok=True)  # noqa: S108  # its choice


def _command(folder: Path, sockets: Path, ports: dict[str, tuple[int, int]]) -> list[str]:
    options = {
        "dir": str(folder / "data"),
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": str(_VOLUME_MIB),
        "volume.max": "0",  # as many as there is room for
        "filer.localSocket": str(sockets / "filer.sock"),
        "s3.localSocket": str(sockets / "s3.sock"),
        "s3.config": str(folder / "s3.json"),
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
    }
    for name, (http, grpc) in ports.items():
        options |= {f"{name}.port": str(http), f"{name}.port.grpc": str(grpc)}
    switches = ["-filer", "-s3", *(f"-{name}={value}" for name, value in options.items())]
    return [_program() or "weed", "-logtostderr", "server", *switches]


def _accounts(signer: Signer) -> str:
    credentials = [{"accessKey": signer.access_key, "secretKey": signer.secret}]
    return json.dumps({"identities": [{"name": "bench", "credentials": credentials, "actions": ["Admin"]}]})


def _with_bucket(server: SeaweedFS) -> SeaweedFS:
    """Make the bucket, once the server's parts have found each other."""
    give_up = time.monotonic() + _START_SECONDS
    while True:
        try:
            with client.connect(server.port) as connection:
                client.exchange(connection, server.request("PUT", _BUCKET, length=0))
            return server
        except Failed:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)


def _program() -> str | None:
    """The one beside our Python, else one on the PATH."""
    return shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")


def _missing() -> str | None:
    return None if _program() else "no SeaweedFS: install the development dependencies"


def _version() -> str:
    return output(_program() or "weed", "version").split()[2]


PEER = Peer(
    "seaweedfs",
    "encrypts with the caller's key, checks signatures, takes an MD5; does not fsync; has no record",
    missing=_missing,
    version=_version,
    serve=serve,
)
