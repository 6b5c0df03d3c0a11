"""The program in this process, in a folder of its own: to start Python for every command would take seconds each."""

import functools
import io
import json
import os
import resource
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
import structlog

from portal import config
from portal.bootstrap import Portal, open_portal
from portal.cli import main
from portal.core import clock, log
from portal.core.ids import new_id
from portal.core.principal import NOWHERE, Principal, Role
from portal.features.authz.relation import CaseStatus
from portal.features.cases.catalog import CaseChanges, NewCase
from portal.features.cases.views import CaseView
from portal.features.files.views import Details, FileView
from portal.features.identity import repository as accounts
from portal.features.identity import session_rows
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.repository import User
from portal.features.identity.session_rows import Session
from portal.sources import ENV_FILE_VARIABLE

from .. import own_loop

_T = TypeVar("_T")


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Arriving:
    """A file of bytes."""

    content: bytes
    name: str
    declared_type: str | None = None
    case_id: UUID | None = None
    content_length: int | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.content:
            yield self.content

    async def details(self) -> Details:
        return Details()


@dataclass(frozen=True)
class Shell:
    """`portal` in one folder, which is the current one; and what lies in that folder."""

    folder: Path
    run: Callable[..., Ran]

    def __call__(self, *arguments: str, stdin: str | bytes = "") -> Ran:
        return self.run(*arguments, stdin=stdin)

    def inside(self, work: Callable[[Portal], Coroutine[Any, Any, _T]]) -> _T:
        """Do `work` with the portal that the folder describes."""

        async def opened() -> _T:
            async with open_portal(*config.load()) as portal:
                return await work(portal)

        return own_loop.run(opened())

    def hand_in(self, content: bytes, name: str = "evidence.bin", *, content_length: int | None = None) -> FileView:
        """A file of a new account; in its row where it is announced and small."""

        async def take(portal: Portal) -> FileView:
            principal = await sign_up(portal)
            arriving = Arriving(content, name, content_length=content_length)
            return await portal.files.intake.receive(principal, arriving, NOWHERE)

        return self.inside(take)

    def blob(self, file_id: UUID) -> Path:
        """Where the bytes of a file of one part lie."""
        (row,) = self.query("SELECT id FROM blobs WHERE file_id = ?", file_id.hex)
        (path,) = (self.folder / "var" / "store" / "blobs").glob(f"*/{row[0]}")
        return path

    def query(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "var" / "portal.db")) as connection:
            return connection.execute(statement, values).fetchall()

    def record(self, kind: str) -> list[dict[str, Any]]:
        """What the audit record holds of one kind."""
        return [json.loads(body) for (body,) in self.query("SELECT body FROM audit WHERE event = ? ORDER BY seq", kind)]


async def sign_up(portal: Portal) -> Principal:
    now = clock.now()
    user = User(new_id(), name := new_id().hex, name, "no password", Role.ANALYST, 1, now)
    session = Session(
        id=new_id(),
        user_id=user.id,
        epoch=1,
        refresh_digest=b"digest",
        created_at=now,
        expires_at=now + timedelta(days=1),
    )
    async with portal.resources.database.write() as connection:
        assert await accounts.add_user(connection, user)
        await session_rows.add(connection, session)
    return Principal(f"user:{user.id}", Role.ANALYST, user.id, session.id)


def closed_case(shell: Shell, *contents: bytes) -> CaseView:
    """A closed case with files."""

    async def make(opened: Portal) -> CaseView:
        lead, register = await sign_up(opened), opened.cases.register
        case = await register.open(lead, NewCase("a title that is secret"), NOWHERE)
        for content in contents:
            await opened.files.intake.receive(lead, Arriving(content, "a.bin", case_id=case.id), NOWHERE)
        return await register.update(lead, case.id, None, CaseChanges(status=CaseStatus.CLOSED), NOWHERE)

    return shell.inside(make)


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a command changes of its process is put back: environment, umask, limits, signals, logging. Passwords cost
    little.
    """
    for name in [name for name in os.environ if name.startswith("PORTAL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(ENV_FILE_VARIABLE, "")  # so that what --env-file sets is put back
    cheap = functools.partial(PasswordHasher, memory_kib=8, passes=1, lanes=1)
    monkeypatch.setattr("portal.features.identity.service.PasswordHasher", cheap)
    monkeypatch.setattr(log, "configure", lambda *_: structlog.configure(processors=[_drop]))
    limits = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE)}
    really = resource.setrlimit

    def softly(kind: int, wanted: tuple[int, int]) -> None:
        """A hard limit that is lowered could not be put back: `test_serve` looks at those in a process of its own."""
        really(kind, (wanted[0], resource.getrlimit(kind)[1]))

    monkeypatch.setattr(resource, "setrlimit", softly)
    umask, on_stop = os.umask(0o022), signal.getsignal(signal.SIGTERM)
    yield
    os.umask(umask)
    signal.signal(signal.SIGTERM, on_stop)
    for kind, limit in limits.items():
        really(kind, limit)
    structlog.reset_defaults()


def _drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """The program in an empty folder."""
    folder = tmp_path / "portal"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments: str, stdin: str | bytes) -> Ran:
        raw = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "argv", ["portal", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), "utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Ran(int(ended.value.code or 0), *capsys.readouterr())

    return Shell(folder, run)


@pytest.fixture
def keyed(empty: Shell) -> Shell:
    """The program in a folder with keys and nothing else."""
    keys = {name: sha256(name.encode()).hexdigest() for name in ("MASTER_KEY", "SECRET_KEY")}
    (empty.folder / ".env").write_text("".join(f"PORTAL_{name}={value}\n" for name, value in keys.items()))
    return empty


@pytest.fixture
def portal(keyed: Shell, sqlite_template: Path) -> Shell:
    """The program in a folder that is set up, with no account and no file."""
    (keyed.folder / "var").mkdir(0o700)
    (keyed.folder / "var" / "portal.db").write_bytes(sqlite_template.read_bytes())
    keyed("db", "upgrade")  # its store
    return keyed
