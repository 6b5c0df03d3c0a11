"""A key server that is sealed, killed, silent or replaced by something else in the middle of uploads.

Each upload is the first of its scope, so each needs the server: for a data key that is wrapped, unwrapped and stored
before it seals a byte.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import pytest
from pydantic import SecretStr

from portal.backends.blobs.memory import MemoryStore
from portal.backends.keys import guarded
from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.guarded import GuardedKeyProvider
from portal.backends.keys.vault import VaultTransit
from portal.backends.keys.vault_settings import VaultAddress, VaultSettings
from portal.backends.scanners.none import NoScanner
from portal.core.ids import new_id
from portal.core.key_scopes import scope_of
from portal.db.unit_of_work import Database
from portal.keyring import repository
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox.model import SealedFile
from portal.strongbox.strongbox import Strongbox

from ..own_openbao import KEY, MOUNT, OwnOpenBao
from .sealing import LAYOUT, THREE_SEGMENTS, read, recipe, seal_file

UPLOADS, AT_ONCE, FAULT_AFTER = 100, 8, 30
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
PLAIN = recipe(THREE_SEGMENTS)


class Between:
    """What stands between the portal and the server: it passes bytes on, keeps them, or answers a page itself."""

    def __init__(self, port: int) -> None:
        self._upstream, self.port = port, 0
        self.passes = asyncio.Event()
        self.passes.set()
        self.answers_itself = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            with contextlib.closing(up_writer):
                back = asyncio.create_task(_pass_on(up_reader, writer))
                while data := await reader.read(1 << 16):
                    await self.passes.wait()
                    target = writer if self.answers_itself else up_writer
                    target.write(PAGE if self.answers_itself else data)
                    await target.drain()
                back.cancel()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError), contextlib.closing(writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


@pytest.fixture
async def between(openbao: OwnOpenBao) -> AsyncIterator[Between]:
    made = Between(openbao.port)
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


@pytest.fixture
async def process(
    openbao: OwnOpenBao, between: Between, database: Database
) -> AsyncIterator[Callable[[], tuple[Strongbox, Keyring]]]:
    """Makes what one process has: a strongbox and its keyring, over the same rows and blobs."""
    store, made = MemoryStore(), list[Keyring]()
    address = VaultAddress.parse(f"//127.0.0.1:{between.port}/{MOUNT}/{KEY}")
    settings = VaultSettings(vault_token=SecretStr(openbao.token()))

    def make() -> tuple[Strongbox, Keyring]:
        made.append(Keyring(database, [GuardedKeyProvider(VaultTransit(address, settings))]))
        return Strongbox(Stores([store]), made[-1], [NoScanner()], LAYOUT), made[-1]

    yield make
    for keyring in made:
        await keyring.aclose()


@contextlib.asynccontextmanager
async def sealed(openbao: OwnOpenBao, _: Between) -> AsyncIterator[None]:
    await asyncio.to_thread(openbao.seal)
    yield
    await asyncio.to_thread(openbao.unseal)


@contextlib.asynccontextmanager
async def killed(openbao: OwnOpenBao, _: Between) -> AsyncIterator[None]:
    await asyncio.to_thread(openbao.kill)
    yield
    await asyncio.to_thread(openbao.start)


@contextlib.asynccontextmanager
async def silent(_: OwnOpenBao, between: Between) -> AsyncIterator[None]:
    between.passes.clear()
    yield
    between.passes.set()


@contextlib.asynccontextmanager
async def replaced(_: OwnOpenBao, between: Between) -> AsyncIterator[None]:
    between.answers_itself = True
    yield
    between.answers_itself = False


async def upload(box: Strongbox) -> SealedFile | KeyProviderError:
    """The first file of a new case; or the refusal."""
    try:
        return await seal_file(box, PLAIN, scope=scope_of(new_id()))
    except KeyProviderError as error:
        return error


async def known_keys(database: Database, ids: set[UUID]) -> set[UUID]:
    async with database.read() as connection:
        found = [await repository.find(connection, one) for one in ids]
    return {row.id for row in found if row is not None}


@pytest.mark.parametrize("fault", [sealed, killed, silent, replaced])
async def test_no_file_is_sealed_under_a_key_that_is_not_kept_and_all_goes_on_without_a_restart(
    openbao: OwnOpenBao,
    between: Between,
    process: Callable[[], tuple[Strongbox, Keyring]],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[OwnOpenBao, Between], contextlib.AbstractAsyncContextManager[None]],
) -> None:
    for name, seconds in {"CALL_SECONDS": 2.0, "PAUSE_SECONDS": 0.01, "RECHECK_SECONDS": 0.05}.items():
        monkeypatch.setattr(guarded, name, seconds)
    box, keyring = process()
    early, done = await upload(box), list[SealedFile | KeyProviderError]()
    assert isinstance(early, SealedFile)
    room, due = asyncio.Semaphore(AT_ONCE), asyncio.Event()

    async def one() -> None:
        async with room:
            done.append(await upload(box))
        if len(done) == FAULT_AFTER:
            due.set()

    async with asyncio.timeout(60):  # none hangs
        uploads = [asyncio.create_task(one()) for _ in range(UPLOADS)]
        await due.wait()
        async with fault(openbao, between):
            await asyncio.gather(*uploads)
            assert await read(box, early) == PLAIN  # its key is known
            assert isinstance(await upload(box), KeyProviderError)  # a call under way may have been answered last
            with pytest.raises(KeyProviderError):
                await keyring.check_providers()
        while isinstance(again := await upload(box), KeyProviderError):  # noqa: ASYNC110  # the guard's timer ends it
            await asyncio.sleep(0.01)
    files = [early, again, *(one for one in done if isinstance(one, SealedFile))]
    assert FAULT_AFTER <= len(files) < UPLOADS == len(done)
    keys = {part.data_key_id for file in files for part in file.parts}
    assert len(keys) == len(files)
    assert await known_keys(database, keys) == keys
    elsewhere, _ = process()
    assert [await read(elsewhere, file) for file in files] == [PLAIN] * len(files)


async def test_a_thousand_uses_are_one_call_for_each_data_key_and_worker(
    openbao: OwnOpenBao, process: Callable[[], tuple[Strongbox, Keyring]]
) -> None:
    wraps, unwraps = openbao.calls("transit/encrypt/portal"), openbao.calls("transit/decrypt/portal")
    workers, scopes = [process()[1], process()[1]], [scope_of(new_id()) for _ in range(4)]
    first = await asyncio.gather(*(workers[0].active(scope) for scope in scopes * 20))
    keys = list({key.scope: key for key in first}.values())
    for _ in range(62):
        uses = [(worker.active(key.scope), worker.get(key.id, key.scope)) for worker in workers for key in keys]
        await asyncio.gather(*(use for pair in uses for use in pair))
    assert openbao.calls("transit/encrypt/portal") == wraps + len(scopes)
    assert openbao.calls("transit/decrypt/portal") == unwraps + len(scopes) * len(workers)
