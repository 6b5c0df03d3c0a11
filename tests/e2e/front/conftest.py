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
import pytest

from ...conftest import skip
from ..conftest import PASSWORD, Served, _free_port, running
from ..raw import Wire
from ..seen import eventually

HOST = "localhost"  # for this name Caddy is its own authority
_CADDYFILE = Path(__file__).resolve().parents[3] / "Caddyfile"
LIMIT = 24 << 20  # of the portal; of the door, 4 MiB more
_PATIENCE_SECONDS = 60
_START_ATTEMPTS = 6  # of ten seconds each


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
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.authority)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def wire(self, *, receive_buffer: int | None = None) -> Wire:
        """One connection that speaks HTTP/1.1 as bytes, inside TLS."""
        return Wire(self.port, receive_buffer=receive_buffer, tls=self.tls(), name=HOST)

    def client(self, name: str) -> httpx.Client:
        """A client signed in as `name` through the door."""
        form = {"grant_type": "password", "username": name, "password": PASSWORD}
        answer = httpx.post(f"{self.url}/api/v1/auth/token", data=form, verify=self.tls())
        assert answer.status_code == 200, answer.text
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(
            base_url=f"{self.url}/api/v1", headers=headers, timeout=_PATIENCE_SECONDS, verify=self.tls()
        )

    def curl(self, version: str, target: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """What curl makes of `target` over HTTP of this version: `1.1` or `2`."""
        program = shutil.which("curl")
        if program is None:
            skip("no curl: install it, or let .ci/run do it")
        spoken = {"1.1": "--http1.1", "2": "--http2"}[version]
        command = [
            program,
            "-q",
            "--silent",
            spoken,
            "--cacert",
            str(self.authority),
            *arguments,
            f"{self.url}{target}",
        ]
        return subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE_SECONDS)


def all_said(wire: Wire, *pieces: bytes) -> list[int]:
    """Send, and tell the status of every answer until the door ends the connection."""
    said = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        wire.send(*pieces)
        while piece := wire.read(1 << 16):
            said += piece
    return [int(answer[:3]) for version in (b"1.1 ", b"1.0 ") for answer in said.split(b"HTTP/" + version)[1:]]


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    """A door and a portal as in production, which the tests of one worker share."""
    folder = tmp_path_factory.mktemp("front")
    settings = {"ENV": "production", "ALLOW_SQLITE": "true", "ALLOWED_HOSTS": f"{HOST},127.0.0.1,files.example"}
    settings |= {"TRUSTED_PROXIES": "127.0.0.1", "MAX_UPLOAD_BYTES": str(LIMIT)}
    with (
        running(folder / "portal", settings, analyst="analyst") as portal,
        opened(portal, folder / "caddy", MAX_BODY=str(LIMIT + (4 << 20))) as door,
    ):
        yield door


@pytest.fixture(scope="session")
def narrow(front: FrontDoor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    """Another door before the same portal, that waits two seconds and takes less than the portal would."""
    waits = {"READ_HEADER": "2s", "READ_IDLE": "2s"}
    with opened(front.portal, tmp_path_factory.mktemp("narrow") / "caddy", MAX_BODY="1MiB", **waits) as door:
        yield door


@pytest.fixture
def analyst(front: FrontDoor) -> Iterator[httpx.Client]:
    with front.client("analyst") as client:
        yield client


@contextmanager
def opened(portal: Served, folder: Path, *, server_options: str = "", **variables: str) -> Iterator[FrontDoor]:
    """Caddy before a portal that serves. `variables` are those of the Caddyfile, without CADDY_."""
    folder.mkdir(parents=True)
    front = FrontDoor(portal, folder, _free_port(), _free_port())
    options = f"default_bind 127.0.0.1\nhttp_port {front.plain_port}\nhttps_port {front.port}\n"
    given = {"GLOBAL_OPTIONS": options, "SERVER_OPTIONS": server_options} | variables
    environment = {f"CADDY_{name}": value for name, value in given.items()} | {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_DATA_HOME": str(folder / "data"),
        "SITE_HOST": HOST,
        "CADDY_UPSTREAM": f"127.0.0.1:{portal.port}",
    }
    with (folder / "caddy.log").open("wb") as log:
        command = [str(Path(sys.executable).with_name("caddy")), "run", "--config", str(_CADDYFILE)]
        caddy = subprocess.Popen(
            [*command, "--adapter", "caddyfile"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        ready = (eventually(lambda: _answers(front) or caddy.poll() is not None) for _ in range(_START_ATTEMPTS))
        assert any(ready), front.log
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
