"""The files services over a database of each kind, a store that fails when told to, and arrivals made of bytes."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from sqlalchemy import text

from portal.backends.blobs.base import BlobStat, BlobWriter, ByteSpan, FillBuffer, StoreAway, T
from portal.backends.blobs.memory import MemoryStore
from portal.backends.keys.guarded import GuardedKeyProvider
from portal.backends.keys.local import LocalKeyProvider
from portal.backends.scanners.base import Scan, Verdict
from portal.backends.scanners.memory import MemoryScanner
from portal.core import clock, tasks
from portal.core.buffer import Buffer
from portal.core.ids import new_id
from portal.core.principal import Origin, Principal, Role
from portal.core.secrets import Secret
from portal.crypto.layout import Layout
from portal.db.connection import Connection, Engine
from portal.db.unit_of_work import Database, DatabaseAway
from portal.features.audit import record
from portal.features.audit import service as audit_service
from portal.features.audit.events import Event
from portal.features.audit.record import Recorder
from portal.features.audit.service import Audit
from portal.features.authz.relation import CaseRole
from portal.features.cases import service as cases_service
from portal.features.cases.catalog import NewCase
from portal.features.cases.service import Cases
from portal.features.cases.views import CaseView
from portal.features.files import repository
from portal.features.files import service as files_service
from portal.features.files.blob_rows import AT_ONCE
from portal.features.files.catalog import FileCatalog
from portal.features.files.downloads.delivery import Deliveries, Delivery
from portal.features.files.maintenance import Maintenance
from portal.features.files.rights.grants import end_grants_of
from portal.features.files.service import Files
from portal.features.files.uploads.decision import ContentPolicy
from portal.features.files.uploads.intake import Intake
from portal.features.files.views import Details, FileView
from portal.features.identity import repository as accounts
from portal.features.identity import service as identity_service
from portal.features.identity import session_rows
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.repository import User
from portal.features.identity.revocation import Revocations
from portal.features.identity.service import Identity
from portal.features.identity.session_rows import Session
from portal.features.identity.sessions import Sessions
from portal.keyring.keyring import Keyring
from portal.resources import Resources
from portal.stores.stores import Stores
from portal.strongbox.strongbox import Strongbox

MAX_BYTES = 5_000
ROW_BYTES = 2_000
MARKER = "a marker for tests"
GRACE = timedelta(days=3)
LAYOUT = Layout(256)  # segments so small that little content has many
CONTENT = bytes(range(256)) * 4
ORIGIN = Origin("a request", "192.0.2.1")


class ShakyDatabase(Database):
    """A database that is away, or whose answer to a commit is lost, when told to."""

    away = False
    loses_answers = False
    unreadable = False

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        if self.away:
            raise DatabaseAway
        async with super().write() as connection:
            yield connection
        if self.loses_answers:
            raise DatabaseAway

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        if self.unreadable:
            raise DatabaseAway
        async with super().read() as connection:
            yield connection


class ShakyStore:
    """A blob store whose verbs fail when told to: `failing` maps create, write, commit, committed, get, … to errors."""

    scheme, id = MemoryStore.scheme, MemoryStore.id
    exclusive_create, reaps_unfinished = MemoryStore.exclusive_create, MemoryStore.reaps_unfinished

    def __init__(self) -> None:
        self._inner = MemoryStore()
        self.blobs = self._inner.blobs
        self.failing: dict[str, Exception] = {}
        self.stubborn: set[str] = set()  # blobs that cannot be removed

    def may(self, verb: str) -> None:
        if verb in self.failing:
            raise self.failing[verb]

    async def create(self, key: str) -> BlobWriter:
        self.may("create")
        return _ShakyWriter(self, await self._inner.create(key))

    async def get(
        self, key: str, spans: Sequence[ByteSpan], use: Callable[[memoryview], T], *, size: int | None = None
    ) -> AsyncGenerator[T, None]:
        async for piece in self._inner.get(key, spans, bytes, size=size):
            self.may("get")
            for at in range(0, len(piece), 100):  # pieces of a size that fits nothing
                self.may("get")
                yield use(memoryview(piece)[at : at + 100])

    async def stat(self, key: str) -> BlobStat | None:
        self.may("stat")
        return await self._inner.stat(key)

    async def delete(self, key: str) -> None:
        self.may("delete")
        if key in self.stubborn:
            raise StoreAway
        await self._inner.delete(key)

    async def list(self, prefix: str = "") -> AsyncIterator[str]:
        self.may("list")
        async for key in self._inner.list(prefix):
            yield key

    async def identify(self) -> UUID | None:
        return await self._inner.identify()

    async def found(self, store_id: UUID) -> None:
        await self._inner.found(store_id)

    async def check(self) -> None:
        self.may("check")

    async def aclose(self) -> None:
        """Nothing to let go of."""


class _ShakyWriter:
    def __init__(self, store: ShakyStore, inner: BlobWriter) -> None:
        self._store, self._inner = store, inner

    async def write(self, size: int, make: FillBuffer) -> None:
        self._store.may("write")
        await self._inner.write(size, make)

    async def commit(self) -> None:
        self._store.may("commit")
        await self._inner.commit()
        self._store.may("committed")

    async def abort(self) -> None:
        await self._inner.abort()


class ShakyScanner(MemoryScanner):
    """A scanner whose scans fail when told to: `failing` maps feed and finish to errors."""

    def __init__(self) -> None:
        super().__init__(MARKER)
        self.failing: dict[str, Exception] = {}
        self.aborted = 0

    def open(self) -> Any:
        return _ShakyScan(self, super().open())


class _ShakyScan:
    def __init__(self, scanner: ShakyScanner, inner: Scan) -> None:
        self._scanner, self._inner = scanner, inner

    async def feed(self, chunk: Buffer) -> None:
        if "feed" in self._scanner.failing:
            raise self._scanner.failing["feed"]
        await self._inner.feed(chunk)

    async def finish(self) -> Verdict:
        if "finish" in self._scanner.failing:
            raise self._scanner.failing["finish"]
        return await self._inner.finish()

    async def abort(self) -> None:
        self._scanner.aborted += 1
        await self._inner.abort()


async def nothing() -> None:
    """Happens meanwhile."""


@dataclass
class Bytes:
    """An arrival: bytes in pieces, and what a client says of them. `meanwhile` happens behind the first piece."""

    content: bytes = CONTENT
    name: str = "evidence.bin"
    declared_type: str | None = "application/x-test"
    said: Details = field(default_factory=Details)
    case_id: UUID | None = None
    fails: BaseException | None = None
    meanwhile: Callable[[], Awaitable[None]] = nothing
    piece: int = 300
    content_length: int | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.content), self.piece):
            yield self.content[at : at + self.piece]
            if at == 0:
                await self.meanwhile()
        if self.fails is not None:
            raise self.fails

    async def details(self) -> Details:
        return self.said


@dataclass
class House:
    """Every service of the feature over one database and one store."""

    database: ShakyDatabase
    store: ShakyStore
    scanner: ShakyScanner
    strongbox: Strongbox
    audit: Audit
    identity: Identity
    files: Files
    cases: Cases
    announces: bool = False
    """Whether what is handed in says its length, and lies in its row where that is small."""

    @property
    def sessions(self) -> Sessions:
        return self.identity.sessions

    @property
    def revocations(self) -> Revocations:
        return self.identity.revocations

    @property
    def intake(self) -> Intake:
        return self.files.intake

    @property
    def deliveries(self) -> Deliveries:
        return self.files.deliveries

    @property
    def catalog(self) -> FileCatalog:
        return self.files.catalog

    @property
    def at_once(self) -> FileCatalog:
        """A catalogue whose deletes have no grace."""
        return FileCatalog(self.database, self.strongbox, grace=AT_ONCE)

    @property
    def maintenance(self) -> Maintenance:
        return self.files.maintenance

    @property
    def recorder(self) -> Recorder:
        return self.audit.recorder

    async def principal(self, role: Role = Role.ANALYST) -> Principal:
        """A new account that is signed in."""
        now = clock.now()
        user = User(new_id(), name := new_id().hex, name, "no password", role, 1, now)
        session = Session(
            id=new_id(),
            user_id=user.id,
            epoch=1,
            refresh_digest=b"digest",
            created_at=now,
            expires_at=now + timedelta(days=3),
        )
        async with self.database.write() as connection:
            assert await accounts.add_user(connection, user)
            await session_rows.add(connection, session)
        return Principal(f"user:{user.id}", role, user.id, session.id)

    async def open_case(self, lead: Principal, **members: Principal) -> CaseView:
        """A new case of `lead`, with members by role."""
        case = await self.cases.register.open(lead, NewCase("a case"), ORIGIN)
        for role, member in members.items():
            await self.let_in(lead, case.id, member, CaseRole(role))
        return case

    async def let_in(self, lead: Principal, case_id: UUID, member: Principal, role: CaseRole) -> None:
        async with self.database.read() as connection:
            account = await accounts.user_by_id(connection, member.user_id)
        assert account is not None
        await self.cases.members.add(lead, case_id, account.name, role, ORIGIN)

    def intake_with(self, *, row_bytes: int = ROW_BYTES, **policy: Any) -> Intake:
        """An intake of which something else is asked, over the same database and store."""
        return Intake(
            self.database,
            self.strongbox,
            self.identity.authenticators,
            self.recorder,
            max_bytes=MAX_BYTES,
            row_bytes=row_bytes,
            content_policy=ContentPolicy(**policy),
        )

    async def hand_in(
        self, principal: Principal, content: bytes = CONTENT, *, key: str | None = None, **said: Any
    ) -> FileView:
        said = {"content_length": len(content) if self.announces else None} | said
        return await self.intake.receive(principal, Bytes(content, **said), ORIGIN, idempotency_key=key)

    async def fetch(self, principal: Principal, file_id: UUID) -> bytes:
        """The whole file, as a download has it."""
        delivery = await self.deliveries.start(principal, file_id, ORIGIN)
        return b"".join([chunk async for chunk in delivery.chunks])

    async def execute(self, statement: str, **values: Any) -> None:
        """What somebody with the database's password might do."""
        async with self.database.write() as connection:
            await connection.execute(text(statement), values)

    async def rows(self, table: str) -> list[dict[str, Any]]:
        async with self.database.read() as connection:
            found = await connection.execute(text(f"SELECT * FROM {table}"))  # noqa: S608  # a table's name
            return [dict(row._mapping) for row in found]

    async def found(self, file_id: UUID) -> FileView | None:
        async with self.database.read() as connection:
            return await repository.find(connection, file_id)

    async def statuses(self) -> list[str]:
        return sorted(row["status"] for row in await self.rows("files"))

    async def record(self, *kinds: str) -> list[dict[str, Any]]:
        """The audit record in order; of these kinds alone if any are named."""
        rows = sorted(await self.rows("audit"), key=lambda row: int(row["seq"]))
        events = [json.loads(row["body"]) for row in rows]
        return [event for event in events if not kinds or event["event"] in kinds]

    async def assert_nothing_is_kept(self, reason: str | None = None) -> None:
        """One attempt was made, and is over: no bytes, no keys, nothing listed, the reason on record."""
        assert await self.kept() == 0
        assert await self.statuses() == ["failed"]
        (failed,) = await self.record()
        assert failed["event"] == "file.upload_failed"
        assert reason is None or failed["details"] == {"reason": reason}

    async def kept(self) -> int:
        """How many blobs there are, in rows and in the store; each row names one, and each in the store has a row."""
        rows = await self.rows("blobs")
        stored = {UUID(str(row["id"])).hex for row in rows if row["content"] is None}
        assert stored == set(self.store.blobs)
        return len(rows)

    def connections(self) -> int:
        """How many connections of the pool are in use."""
        checked_out: int = self.database.engine.pool.checkedout()
        return checked_out


async def away_meanwhile(house: House) -> None:
    """The database leaves."""
    house.database.away = True


def refuse_events(monkeypatch: pytest.MonkeyPatch, error: Exception, *kinds: str) -> None:
    """The record refuses these kinds of event."""
    real = record.write

    async def write(connection: Connection, event: Event) -> None:
        if event.kind in kinds:
            raise error
        await real(connection, event)

    monkeypatch.setattr(record, "write", write)


async def drink(delivery: Delivery, into: bytearray) -> None:
    """Read what is left."""
    async for chunk in delivery.chunks:
        into += chunk


async def found_out() -> None:
    """The portal knows what became of every upload."""
    while tasks._cancellable:
        await asyncio.wait(tasks._cancellable)


def blob_of(house: House) -> str:
    """The key of the only blob."""
    (key,) = house.store.blobs
    return key


def flip(house: House, place: int, key: str | None = None) -> None:
    """Flip a bit of a blob; of the only one where none is named."""
    key = key or blob_of(house)
    damaged = bytearray(house.store.blobs[key])
    damaged[place] ^= 1
    house.store.blobs[key] = bytes(damaged)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Without a renderer of its own a process shows every damage in colours, which takes longer than to find it."""
    structlog.configure(processors=[_drop])
    yield
    structlog.reset_defaults()


def _drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> House:
    database, store, scanner = ShakyDatabase(engine), ShakyStore(), ShakyScanner()
    keyring = Keyring(database, [GuardedKeyProvider(LocalKeyProvider.random())])
    strongbox = Strongbox(Stores([store]), keyring, [scanner], LAYOUT)
    resources = Resources(
        database=database,
        stores=Stores([store]),
        keyring=keyring,
        scanners=(scanner,),
        strongbox=strongbox,
        secret_keys=(Secret(bytes(range(32))),),
        journal=tmp_path / "journal.jsonl",
        max_upload_bytes=MAX_BYTES,
        row_bytes=ROW_BYTES,
        delete_grace=GRACE,
    )
    audit = audit_service.build(resources)
    identity = identity_service.build(resources, PasswordHasher(memory_kib=8, passes=1, lanes=1))
    files, cases = files_service.build(resources, identity, audit), cases_service.build(resources, identity.revocations)
    identity.revocations.add("grants", end_grants_of)
    return House(database, store, scanner, strongbox, audit, identity, files, cases)


@pytest.fixture
async def analyst(house: House) -> Principal:
    return await house.principal()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Move the one clock ahead."""
    real = clock.now

    def move(by: timedelta) -> None:
        monkeypatch.setattr(clock, "now", lambda: real() + by)

    return move
