"""A portal in a process of its own, on a loopback port: what streams is only true on a socket.

Comes in: settings and accounts. Leaves: a folder, commands run in it, a server, and clients that are signed in.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
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

from .. import own_loop, own_sqlite
from ..prepared import Process, prepared

PASSWORD = "correct horse battery staple"
PLENTY = ",".join(f"{name}=100000000/minute" for name in RouteClass)  # of everything: most tests are about other things
Running = subprocess.Popen[bytes] | Process
_START_ATTEMPTS = 3000  # a minute: machines may be busy, and what ended is seen at once
_STOP_SECONDS = 20


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
            return httpx.get(f"{self.url}/healthz").status_code == 200
        return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(_STOP_SECONDS)
        self.process = None
        return code

    def prepare(self, **accounts: str) -> None:
        """Migrate, and make accounts by name and role, as the command line would, without starting it for each."""
        database = self.folder / "var" / "portal.db"
        is_new = "PORTAL_DATABASE_URL" not in self.environment and not database.exists()
        if is_new:
            database.parent.mkdir(0o700, exist_ok=True)
            database.write_bytes(own_sqlite.migrated())
        own_loop.run(self._prepare(accounts, migrate=not is_new))

    async def _prepare(self, accounts: dict[str, str], *, migrate: bool) -> None:
        settings, variables = config.load(self.environment, self.folder / ".env")
        resources = open_resources(settings, variables)
        users = identity.build(resources, PasswordHasher(memory_kib=8, passes=1, lanes=1)).users
        if migrate:
            await schema.upgrade(resources.database.engine)
        await resources.stores.establish(resources.database)
        for name, role in accounts.items():
            await users.create(name, Role(role), PASSWORD, actor="system:test")
        await resources.aclose()

    def client(self, name: str) -> httpx.Client:
        """A client signed in as `name`."""
        form = {"grant_type": "password", "username": name, "password": PASSWORD}
        answer = httpx.post(f"{self.url}/api/v1/auth/token", data=form)
        assert answer.status_code == 200, answer.text
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=60)

    def audit(self) -> list[dict[str, Any]]:
        """The audit record, read from the embedded database."""
        import sqlite3  # noqa: PLC0415  # only the embedded one is read this way

        with contextlib.closing(sqlite3.connect(self.folder / "var" / "portal.db")) as connection:
            return [json.loads(body) for (body,) in connection.execute("SELECT body FROM audit ORDER BY seq")]


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
