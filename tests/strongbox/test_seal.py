"""Sealing: what comes back, what is found on the way, and that a failed attempt leaves nothing."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.backends.blobs.base import BlobStore, BlobWriter, FillBuffer, StoreAway
from portal.backends.blobs.memory import MemoryStore
from portal.backends.keys.base import KeyProviderError
from portal.backends.keys.local import LocalKeyProvider
from portal.backends.scanners.base import ScanOutcome, Verdict
from portal.backends.scanners.memory import MemoryScanner
from portal.backends.scanners.none import NoScanner
from portal.core.errors import Forbidden, StorageFull, TooLarge
from portal.core.ids import new_id
from portal.core.key_scopes import scope_of
from portal.crypto.blob import stored_length
from portal.crypto.layout import PRODUCTION
from portal.db.unit_of_work import Database
from portal.keyring.data_key import DataKey
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox.model import SealedFile
from portal.strongbox.strongbox import Strongbox

from .sealing import (
    CASE,
    LAYOUT,
    NO_LIMIT,
    OTHER_CASE,
    context,
    holds_nothing,
    read,
    recipe,
    seal,
    seal_file,
    seal_part,
    source,
)

Attempt = Callable[[Strongbox, AsyncIterator[bytes]], Awaitable[object]]
INLINE = pytest.mark.parametrize("inline", [False, True], ids=["in a store", "inline"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, 1_500))
async def test_what_was_sealed_comes_back(box: Strongbox, length: int) -> None:
    file = await seal_file(box, recipe(length))
    assert await read(box, file) == recipe(length)


@pytest.mark.parametrize("length", [0, 1, 199, 200, 201, 439, 440, 441, 680])
async def test_what_was_sealed_comes_back_at_every_boundary(box: Strongbox, length: int) -> None:
    file = await seal_file(box, recipe(length))
    assert await read(box, file) == recipe(length)
    stat = await box.stores.first.stat(file.parts[0].key)
    assert stat is not None
    assert stat.length == file.parts[0].stored_length == stored_length(LAYOUT, length)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(max_size=600), max_size=8))
async def test_however_the_bytes_arrive_the_findings_are_those_of_the_whole(
    memory_box: Strongbox, chunks: list[bytes]
) -> None:
    whole = b"".join(chunks)
    part, findings = await seal_part(memory_box, *chunks)
    assert (findings.size, findings.sha256) == (len(whole), sha256(whole).digest())
    assert part.plain_length == len(whole)


async def test_segments_of_a_mebibyte_are_sealed_in_threads_and_come_back(keyring: Keyring, store: BlobStore) -> None:
    box = Strongbox(Stores([store]), keyring, [MemoryScanner("marker")])
    whole = recipe(2 * PRODUCTION.segment + 12_345)
    file = await seal_file(box, whole)
    assert await read(box, file) == whole
    assert await read(box, file, PRODUCTION.segment - 100, 200) == whole[PRODUCTION.segment - 100 :][:200]


async def test_the_findings_name_the_type_and_the_verdict(keyring: Keyring) -> None:
    box = Strongbox(Stores([MemoryStore()]), keyring, [NoScanner(), MemoryScanner("marker")], LAYOUT)
    _, clean = await seal_part(box, b"%PDF-1.7\n", recipe(500))
    assert (clean.detected_type, clean.verdict) == ("application/pdf", Verdict(ScanOutcome.NOT_SCANNED))
    _, infected = await seal_part(box, recipe(500) + b"mar", b"ker" + recipe(500))
    assert infected.verdict.outcome is ScanOutcome.INFECTED


async def test_the_store_holds_no_plaintext_and_no_key(memory_box: Strongbox, memory: MemoryStore) -> None:
    plain = recipe(5_000)
    part, _ = await seal_part(memory_box, plain)
    assert list(memory.blobs) == [part.key]
    blob = memory.blobs[part.key]
    assert not any(plain[at : at + 8] in blob for at in range(0, len(plain), 4))
    assert part.wrapped_key not in blob


async def test_a_long_upload_keeps_no_data_key(memory_box: Strongbox, keyring: Keyring) -> None:
    scope = scope_of(new_id())  # no other test's
    async with memory_box.sealing(context(), scope, limit=NO_LIMIT) as sealing:
        await sealing.write(recipe(1_000))
        await keyring.aclose()
        assert not [kept for kept in gc.get_objects() if isinstance(kept, DataKey) and kept.scope == scope]


async def test_two_seals_of_the_same_bytes_share_nothing(memory_box: Strongbox, memory: MemoryStore) -> None:
    one, _ = await seal_part(memory_box, recipe(500))
    two, _ = await seal_part(memory_box, recipe(500))
    assert one.wrapped_key != two.wrapped_key
    assert one.commitment != two.commitment
    assert memory.blobs[one.key][128:] != memory.blobs[two.key][128:]


async def test_every_scope_has_a_data_key_of_its_own(memory_box: Strongbox) -> None:
    parts = [(await seal_part(memory_box, b"x", scope=scope))[0] for scope in (CASE, CASE, OTHER_CASE, "none")]
    names = [part.data_key_id for part in parts]
    assert names[0] == names[1]
    assert len(set(names)) == 3


@pytest.mark.parametrize("size", [0, 1, 500, 5_000, 100_000])
async def test_an_inline_blob_lies_in_its_part_and_reads_back(box: Strongbox, size: int) -> None:
    part, findings = await seal_part(box, recipe(size), inline=True)
    assert part.content is not None
    assert (part.store, len(part.content)) == ("row", part.stored_length)
    assert (findings.size, findings.sha256) == (size, sha256(recipe(size)).digest())
    assert await holds_nothing(box.stores.first)
    unbound = SealedFile(part.context.file_id, "none", part.data_key_id, size, findings.sha256, b"", (part,))
    assert await read(box, replace(unbound, record=await box.record(unbound))) == recipe(size)


async def test_many_seals_at_once_do_not_mix(box: Strongbox) -> None:
    files = await asyncio.gather(*(seal_file(box, recipe(600, seed)) for seed in range(10)))
    assert await asyncio.gather(*(read(box, file) for file in files)) == [recipe(600, seed) for seed in range(10)]


async def test_a_place_is_sealed_once(box: Strongbox) -> None:
    at = context()
    part, _ = await seal_part(box, b"first", at=at)
    with pytest.raises(StoreAway):
        await seal_part(box, b"second", at=at)
    stat = await box.stores.first.stat(at.blob_id.hex)
    assert stat is not None
    assert stat.length == part.stored_length
    assert [key async for key in box.stores.first.list()] == [part.key]


async def test_findings_are_known_before_anything_is_visible(box: Strongbox) -> None:
    async with box.sealing(context(), "none", limit=NO_LIMIT) as sealing:
        await sealing.write(recipe(600))
        await sealing.write(b"end")
        findings = await sealing.finish()
        assert [key async for key in box.stores.first.list()] == []
        part = await sealing.commit()
        assert [key async for key in box.stores.first.list()] == [part.key]
    assert (findings.size, findings.sha256) == (603, sha256(recipe(600) + b"end").digest())
    assert [key async for key in box.stores.first.list()] == [part.key]


@INLINE
async def test_nothing_is_committed_before_its_findings_are_known(box: Strongbox, *, inline: bool) -> None:
    async with box.sealing(context(), "none", limit=NO_LIMIT, inline=inline) as sealing:
        await sealing.write(b"half")
        with pytest.raises(RuntimeError):
            await sealing.commit()
    assert await holds_nothing(box.stores.first)


async def failing_source(box: Strongbox, chunks: AsyncIterator[bytes]) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield chunk
        raise ConnectionError("the client left")

    with pytest.raises(ConnectionError):
        await seal(box, broken())


async def left_half(box: Strongbox, chunks: AsyncIterator[bytes]) -> None:
    async with box.sealing(context(), "none", limit=NO_LIMIT) as sealing:
        async for chunk in chunks:
            await sealing.write(chunk)


async def left_uncommitted(box: Strongbox, chunks: AsyncIterator[bytes]) -> None:
    async with box.sealing(context(), "none", limit=NO_LIMIT) as sealing:
        async for chunk in chunks:
            await sealing.write(chunk)
        await sealing.finish()


async def refused(box: Strongbox, chunks: AsyncIterator[bytes]) -> None:
    async def refuse() -> None:
        async with box.sealing(context(), "none", limit=NO_LIMIT) as sealing:
            async for chunk in chunks:
                await sealing.write(chunk)
            await sealing.finish()
            raise Forbidden

    with pytest.raises(Forbidden):
        await refuse()


async def too_large(box: Strongbox, chunks: AsyncIterator[bytes]) -> None:
    with pytest.raises(TooLarge):
        await seal(box, chunks, limit=1_499)


async def cancelled_in_the_source(box: Strongbox, chunks: AsyncIterator[bytes]) -> None:
    waiting = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield chunk
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(seal(box, silent()))
    await waiting.wait()
    await cancel(task)


async def cancelled_while_it_is_decided(box: Strongbox, chunks: AsyncIterator[bytes]) -> None:
    waiting = asyncio.Event()

    async def ponder() -> None:
        async with box.sealing(context(), "none", limit=NO_LIMIT) as sealing:
            async for chunk in chunks:
                await sealing.write(chunk)
            await sealing.finish()
            waiting.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(ponder())
    await waiting.wait()
    await cancel(task)


async def cancel(task: asyncio.Future[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


ATTEMPTS: list[Attempt] = [
    failing_source,
    left_half,
    left_uncommitted,
    refused,
    too_large,
    cancelled_in_the_source,
    cancelled_while_it_is_decided,
]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
@pytest.mark.parametrize("chunk", [1_500, 700, 100])
async def test_a_failed_attempt_leaves_nothing(box: Strongbox, attempt: Attempt, chunk: int) -> None:
    whole = recipe(1_500)
    await attempt(box, source(*(whole[at : at + chunk] for at in range(0, len(whole), chunk))))
    assert await holds_nothing(box.stores.first)


async def test_an_attempt_cancelled_before_its_first_byte_leaves_nothing(box: Strongbox) -> None:
    await cancelled_in_the_source(box, source())
    assert await holds_nothing(box.stores.first)


@INLINE
@pytest.mark.parametrize(("limit", "length"), [(0, 0), (1, 1), (447, 447), (448, 447)])
async def test_a_file_may_be_exactly_as_large_as_the_limit(
    box: Strongbox, limit: int, length: int, *, inline: bool
) -> None:
    _, findings = await seal(box, source(recipe(length)), limit=limit, inline=inline)
    assert findings.size == length


@INLINE
async def test_over_the_limit_no_further_chunk_is_asked_for(memory_box: Strongbox, *, inline: bool) -> None:
    given_out: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            given_out.append(100)
            yield bytes(100)

    with pytest.raises(TooLarge):
        await seal(memory_box, endless(), limit=1_000, inline=inline)
    assert sum(given_out) == 1_100


class FullStore(MemoryStore):
    """Takes so many writes and no more; `ends` tells how its writers ended."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.ends: list[str] = []

    async def create(self, key: str) -> BlobWriter:
        return FullWriter(self, await super().create(key))


class FullWriter:
    def __init__(self, store: FullStore, inner: BlobWriter) -> None:
        self._store, self._inner = store, inner

    async def write(self, size: int, make: FillBuffer) -> None:
        if self._store.room == 0:
            raise StorageFull
        self._store.room -= 1
        await self._inner.write(size, make)

    async def commit(self) -> None:
        if self._store.room == 0:
            raise StorageFull
        await self._inner.commit()

    async def abort(self) -> None:
        self._store.ends.append("abort")
        await self._inner.abort()


@pytest.mark.parametrize("room", range(4))
async def test_a_full_store_is_told_to_forget(keyring: Keyring, room: int) -> None:
    store = FullStore(room)
    with pytest.raises(StorageFull):
        await seal_part(Strongbox(Stores([store]), keyring, [NoScanner()], LAYOUT), recipe(500))
    assert store.ends == ["abort"]
    assert await holds_nothing(store)


async def test_without_a_key_nothing_is_begun_and_nothing_is_read(
    database: Database, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> bytes:
        raise KeyProviderError

    provider, chunks = LocalKeyProvider.random(), source(b"unread")
    monkeypatch.setattr(provider, "wrap", away)
    with pytest.raises(KeyProviderError):
        await seal(Strongbox(Stores([store]), Keyring(database, [provider]), [NoScanner()], LAYOUT), chunks)
    assert await holds_nothing(store)
    assert await anext(chunks) == b"unread"


async def test_destroy_removes_a_blob_and_is_idempotent(box: Strongbox) -> None:
    part, _ = await seal_part(box, b"x")
    for _ in range(2):
        await box.destroy(part.store, part.key)
        assert await holds_nothing(box.stores.first)
