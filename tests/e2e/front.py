"""The front door: a real Caddy that runs the Caddyfile of this repository, with TLS on loopback, before a portal.

Comes in: a portal, and what a test changes through the variables that the Caddyfile names. Leaves: clients that speak
TLS to it, raw or through curl, and its log.
"""

import contextlib
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ..conftest import skip
from .conftest import PASSWORD, Served, _free_port
from .raw import Wire
from .seen import eventually

HOST = "localhost"  # for this name Caddy is its own authority
_CADDYFILE = Path(__file__).resolve().parents[2] / "Caddyfile"
_PATIENCE_SECONDS = 60


@dataclass
class FrontDoor:
    """One Caddy while it runs, and the portal behind it."""

    portal: Served
    folder: Path
    port: int
    plain_port: int

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "caddy.log").read_text()

    @property
    def authority(self) -> Path:
        return self.folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def wire(self, *, receive_buffer: int | None = None) -> Wire:
        """One connection that speaks HTTP/1.1 as bytes, inside TLS."""
        return Wire(self.port, receive_buffer=receive_buffer, tls=self.tls(), name=HOST)

    def client(self, name: str) -> httpx.Client:
        """A client signed in as `name` through the door."""
        client = httpx.Client(base_url=f"{self.url}/api/v1", timeout=_PATIENCE_SECONDS, verify=self.tls())
        form = {"grant_type": "password", "username": name, "password": PASSWORD}
        answer = client.post("/auth/token", data=form)
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client

    def curl(self, version: str, target: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """What curl makes of `target` over HTTP of this version: `1.1` or `2`."""
        program = shutil.which("curl")
        if program is None:
            skip("no curl: install it, or let .ci/run do it")
        spoken = {"1.1": "--http1.1", "2": "--http2"}[version]
        command = [program, "-q", "--silent", spoken, "--cacert", str(self.authority), *arguments, f"{self.url}{target}"]
        return subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE_SECONDS)


@contextmanager
def opened(portal: Served, folder: Path, *, server_options: str = "", **variables: str) -> Iterator[FrontDoor]:
    """Caddy before a portal that serves. `variables` are those of the Caddyfile, without CADDY_."""
    folder.mkdir()
    front = FrontDoor(portal, folder, _free_port(), _free_port())
    options = f"default_bind 127.0.0.1\nhttp_port {front.plain_port}\nhttps_port {front.port}\n"
    given = {"GLOBAL_OPTIONS": options, "SERVER_OPTIONS": server_options} | variables
    environment = {f"CADDY_{name}": value for name, value in given.items()} | {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_DATA_HOME": str(folder / "data"),
        "PORTAL_HOST": HOST,
        "PORTAL_UPSTREAM": f"127.0.0.1:{portal.port}",
    }
    with (folder / "caddy.log").open("wb") as log:
        command = [str(Path(sys.executable).with_name("caddy")), "run", "--config", str(_CADDYFILE)]
        caddy = subprocess.Popen(
            [*command, "--adapter", "caddyfile"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        assert eventually(lambda: _answers(front) or caddy.poll() is not None), front.log
        assert caddy.poll() is None, front.log
        yield front
    finally:
        caddy.kill()
        caddy.wait()


def _answers(front: FrontDoor) -> bool:
    if not front.authority.exists():
        return False
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{front.url}/healthz", verify=front.tls()).status_code == 200
    return False
