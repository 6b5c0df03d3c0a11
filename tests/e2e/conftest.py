"""A real portal in its own process on a loopback port, and real clients: what streams is only true on a socket."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from portal import config, schema
from portal.bootstrap import open_resources
from portal.core.principal import Role
from portal.core.rates import RouteClass
from portal.features.identity import service as identity
from portal.features.identity.passwords import PasswordHasher

from ..prepared import Process, prepared

PASSWORD = "correct horse battery staple"
PLENTY = ",".join(f"{name}=100000000/minute" for name in RouteClass)  # of everything: most tests are about other things
Running = subprocess.Popen[bytes] | Process
ORIGIN = "https://desk.example.org"  # may call the portal that a proxy fronts
_START_ATTEMPTS = 3000  # a minute: machines may be busy, and what ended is seen at once
_STOP_SECONDS = 20
_TLS = ssl.create_default_context()  # never used on loopback, and dear to make for every client


@dataclass
class Served:
    """One portal: its folder, its environment, and while it runs its process and address.

    A prepared process forks its commands, unless they are `fresh`: then each starts Python, as an operator's do.
    `under` is put before its commands, fresh ones: a program that watches them, or becomes them somewhere else.
    """

    folder: Path
    environment: dict[str, str]
    fresh: bool = False
    under: list[str] = field(default_factory=list)
    port: int = 0
    process: Running | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "portal.log").read_text()

    def cli(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the `portal` program in this portal's folder."""
        if self.fresh or self.under:
            done = self._run_fresh(arguments, stdin)
        else:
            done = prepared(self.environment).run(arguments, cwd=self.folder, env=self.environment, stdin=stdin)
        if check:
            done.check_returncode()
        return done

    def _run_fresh(self, arguments: Sequence[str], stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(arguments),
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
            timeout=120,
        )

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [*self.under, sys.executable, "-m", "portal", *arguments]

    def start(self, *arguments: str) -> None:
        self.port = _free_port()
        self.process = self.spawn("portal.log", "serve", "--port", str(self.port), *arguments)
        for _ in range(_START_ATTEMPTS):
            if self._answers():
                return
            assert self.process.poll() is None, self.log
            time.sleep(0.02)
        pytest.fail(f"the portal did not start: {self.log}")

    def spawn(self, log: str, *arguments: str) -> Running:
        """Start the `portal` program in this portal's folder. What it prints is added to the file `log`."""
        at, env = self.folder, self.environment
        with (at / log).open("ab") as out, Path(os.devnull).open("rb") as null:
            if self.fresh or self.under:
                return subprocess.Popen(self._command(arguments), cwd=at, env=env, stdin=null, stdout=out, stderr=out)
            return prepared(env).start(arguments, cwd=at, env=env, streams=(null, out, out))

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, httpx.TransportError), socket.create_connection(("127.0.0.1", self.port)):
            return httpx.get(f"{self.url}/healthz", verify=_TLS).status_code == 200
        return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(_STOP_SECONDS)
        self.process = None
        return code

    def prepare(self, **accounts: str) -> None:
        """Migrate, and make accounts by name and role, as the command line would, without starting it for each."""
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, self._prepare(accounts)).result()

    async def _prepare(self, accounts: dict[str, str]) -> None:
        settings, variables = config.load(self.environment, self.folder / ".env")
        resources = open_resources(settings, variables)
        users = identity.build(resources, PasswordHasher(memory_kib=8, passes=1, lanes=1)).users
        await schema.upgrade(resources.database.engine)
        await resources.stores.establish(resources.database)
        for name, role in accounts.items():
            await users.create(name, Role(role), PASSWORD, actor="system:test")
        await resources.aclose()

    def client(self, name: str) -> httpx.Client:
        """A client signed in as `name`."""
        form = {"grant_type": "password", "username": name, "password": PASSWORD}
        answer = httpx.post(f"{self.url}/api/v1/auth/token", data=form, verify=_TLS)
        assert answer.status_code == 200, answer.text
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=60, verify=_TLS)

    def audit(self) -> list[dict[str, Any]]:
        """The audit record, read from the embedded database."""
        import sqlite3  # noqa: PLC0415  # only the embedded one is read this way

        with contextlib.closing(sqlite3.connect(self.folder / "var" / "portal.db")) as connection:
            return [json.loads(body) for (body,) in connection.execute("SELECT body FROM audit ORDER BY seq")]


DESK = {
    "lead": "analyst",
    "contributor": "analyst",
    "reader": "analyst",
    "hands_in": "uploader",
    "stranger": "analyst",
    "outside": "uploader",
    "auditor": "auditor",
    "admin": "admin",
}
"""Accounts by name, and the members that `Desk.open_case` makes of some."""


@dataclass
class Desk:
    """A portal, and a client of everybody at it."""

    portal: Served
    clients: dict[str, httpx.Client]
    ids: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, who: str) -> httpx.Client:
        return self.clients[who]

    def id_of(self, who: str) -> str:
        if who not in self.ids:
            self.ids[who] = self[who].get("/users/me").json()["id"]
        return self.ids[who]

    def open_case(self) -> dict[str, Any]:
        """A case of the lead's with a contributor, a reader and somebody who hands in."""
        case: dict[str, Any] = self["lead"].post("/cases", json={"title": "the title of a case"}).json()
        for name, role in {"contributor": "contributor", "reader": "reader", "hands_in": "uploader"}.items():
            added = self["lead"].post(f"/cases/{case['id']}/members", json={"user_name": name, "role": role})
            assert added.status_code == 201, added.text
        return case

    def hand_in(self, case: dict[str, Any] | None, content: bytes = b"the case's") -> dict[str, Any]:
        """A file of the lead's, in a case or in their inbox."""
        params = {} if case is None else {"case_id": case["id"]}
        answer = self["lead"].put(f"/upload/{secrets.token_hex(8)}", content=content, params=params)
        assert answer.status_code == 201, answer.text
        entry: dict[str, Any] = answer.json()
        return entry


MakePortal = Callable[..., Served]


@pytest.fixture
def make_portal(tmp_path: Path) -> Iterator[MakePortal]:
    """Makes portals of a test's own, with settings as keyword arguments: `prepare`, then `start`. Each is stopped."""
    made: list[Served] = []

    def make(**settings: str) -> Served:
        portal = _make(tmp_path / f"portal-{len(made)}", settings)
        made.append(portal)
        return portal

    yield make
    for portal in made:
        _end(portal)


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A running portal that tests of one worker share, with one user of each role, named after it."""
    roles = {role: role for role in ("admin", "analyst", "uploader", "auditor")}
    roles |= {"other": "analyst", "mistaken": "analyst"}  # who mistypes has to wait
    with running(tmp_path_factory.mktemp("shared") / "portal", {"MAX_UPLOAD_BYTES": str(64 << 20)}, **roles) as made:
        yield made


@pytest.fixture(scope="session")
def fronted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A portal as a proxy on this machine would front it, with one origin that may call it and no documents."""
    settings = {"CORS_ORIGINS": ORIGIN, "TRUSTED_PROXIES": "127.0.0.1,10.0.0.0/8", "DOCS": "false"}
    with running(tmp_path_factory.mktemp("fronted") / "portal", settings, analyst="analyst") as made:
        yield made


@pytest.fixture
def analyst(portal: Served) -> Iterator[httpx.Client]:
    with portal.client("analyst") as client:
        yield client


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """AccountNames around cases, at a portal that tests of one worker share."""
    folder = tmp_path_factory.mktemp("desk") / "portal"
    with contextlib.ExitStack() as stack:
        portal = stack.enter_context(running(folder, {"MAX_UPLOAD_BYTES": str(64 << 20)}, **DESK))
        clients = {name: stack.enter_context(portal.client(name)) for name in DESK}
        clients["anonymous"] = stack.enter_context(httpx.Client(base_url=f"{portal.url}/api/v1", verify=_TLS))
        yield Desk(portal, clients)


@contextmanager
def running(folder: Path, settings: dict[str, str], **accounts: str) -> Iterator[Served]:
    """A portal that serves while the block runs, with accounts by name and role."""
    made = _make(folder, settings)
    made.prepare(**accounts)
    try:
        made.start()
        yield made
    finally:
        _end(made)


def _make(folder: Path, settings: dict[str, str]) -> Served:
    folder.mkdir(parents=True, exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling all it imports takes a portal longer than starting
    keys = {"MASTER_KEY": secrets.token_hex(32), "SECRET_KEY": secrets.token_hex(32)}
    given = {f"PORTAL_{name}": value for name, value in {"RATE_LIMITS": PLENTY, **keys, **settings}.items()}
    return Served(folder, inherited | given | {"PORTAL_DATA_DIR": str(folder / "var")})


def _end(portal: Served) -> None:
    if portal.process is not None:
        portal.process.kill()
        portal.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
