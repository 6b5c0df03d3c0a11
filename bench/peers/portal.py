"""The portal as `portal init` makes it: SQLite and a folder, an account, a token.

Comes in: an empty folder. Leaves: a server that somebody is signed in to.
"""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlencode

from bench import client
from bench.peers.base import Peer, Server, Stored, environment, free_port, spawned

API = "/api/v1"
FORM_PATH = f"{API}/files"
_PORTAL = [sys.executable, "-m", "portal"]
_USER = "bench"
_RATES = ",".join(f"{name}=100000000/minute" for name in ("upload", "download", "read", "change"))  # counted, not felt
_FRESH_SECONDS = 600  # of the fifteen minutes that a token lasts


@dataclass(slots=True)
class Session:
    """Somebody who is signed in, and signs in anew before the token ends: outside the clock, when a head is written."""

    port: int
    password: str = field(repr=False)
    _token: str = field(default="", repr=False)
    _until: float = 0

    def token(self) -> str:
        if time.monotonic() > self._until:
            self._token, self._until = _sign_in(self.port, self.password), time.monotonic() + _FRESH_SECONDS
        return self._token


@dataclass(frozen=True, slots=True)
class Portal(Server):
    """A running portal, and who speaks to it."""

    session: Session
    home: Path  # where its settings are

    def request(self, method: str, path: str, *, length: int | None = None, more: str = "") -> bytes:
        signed = f"Authorization: Bearer {self.session.token()}\r\n{more}"
        if method == "DELETE":
            signed += "If-Match: *\r\n"
        return Server.request(self, method, path, length=length, more=signed)

    def upload_path(self, name: str) -> str:
        return f"{API}/upload/{name}"

    def stored(self, name: str, body: bytes) -> Stored:  # noqa: ARG002  # only the others go by the name
        entry = json.loads(body)
        path = f"{API}/files/{entry['id']}"
        return Stored(f"{path}/content", path, entry["sha256"])


@contextmanager
def serve(folder: Path, workers: int) -> Iterator[Portal]:
    password = secrets.token_urlsafe(16)
    command_in(folder, "init")
    with (folder / ".env").open("a") as settings:
        settings.write(f"PORTAL_RATE_LIMITS={_RATES}\nPORTAL_DELETE_GRACE_DAYS=0\n")  # a delete makes room at once
    command_in(folder, "users", "create", _USER, "--role", "analyst", "--password-stdin", stdin=password)
    port = free_port()
    command = [*_PORTAL, "serve", "--port", str(port), "--workers", str(workers)]
    with spawned(command, folder, port, at=folder) as pid:
        yield Portal("portal", pid, port, folder / "var" / "store", Session(port, password), folder)


def command_in(folder: Path, *arguments: str, stdin: str = "") -> bytes:
    """What a command of the portal in this folder prints."""
    return subprocess.run(
        [*_PORTAL, *arguments], cwd=folder, env=environment(), input=stdin.encode(), capture_output=True, check=True
    ).stdout


def _sign_in(port: int, password: str) -> str:
    form = urlencode({"grant_type": "password", "username": _USER, "password": password}).encode()
    head = (
        f"POST {API}/auth/token HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n"
    )
    with client.connect(port) as connection:
        return str(json.loads(client.exchange(connection, head.encode() + form))["access_token"])


PEER = Peer("portal", "", missing=lambda: None, version=lambda: version("portal"), serve=serve)
