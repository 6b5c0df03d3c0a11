"""What every blob store promises, by the properties that it declares. A new store is one line in STORES."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.backends.blobs.base import BlobMissing, BlobStat, BlobStore, ByteSpan, StoreAway
from portal.backends.blobs.local import LocalStore
from portal.backends.blobs.memory import MemoryStore
from portal.backends.blobs.registry import open_blob_stores
from portal.core.errors import ConfigError, IntegrityError
from portal.core.ids import new_id

from .lean_store import LeanStore
from .pieces import write

STORES: dict[str, Callable[[Path], BlobStore]] = {
    "local": lambda folder: LocalStore(folder / "store"),
    "memory": lambda _: MemoryStore(),
    "lean": lambda _: LeanStore(),
}
KEY, OTHER = "0123456789abcdef" * 2, "f" * 32
NOT_KEYS = [
    "",
    "0" * 31,
    "0" * 33,
    "0" * 32 + "\n",
    "A" * 32,
    "g" * 32,
    "../" + "0" * 29,
    "0" * 31 + "/",
    "\N{ARABIC-INDIC DIGIT ONE}" * 32,
]
BIG = bytes(range(256)) * 10_000  # 2.5 MB: more than one piece of every store


@pytest.fixture(params=STORES.values(), ids=list(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BlobStore]:
    made: BlobStore = request.param(tmp_path)
    if await made.identify() is None:
        await made.found(new_id())
    yield made
    await made.aclose()


async def put(store: BlobStore, data: bytes, key: str = KEY) -> None:
    writer = await store.create(key)
    await write(writer, data)
    await writer.commit()


async def fetch(store: BlobStore, start: int = 0, length: int = 1 << 30, key: str = KEY) -> bytes:
    return b"".join([piece async for piece in store.get(key, [(start, length)], bytes)])


async def keys(store: BlobStore, prefix: str = "") -> list[str]:
    return sorted([key async for key in store.list(prefix)])


async def is_visible(store: BlobStore, key: str = KEY) -> bool:
    """Whether any verb tells of the blob; all must agree."""
    try:
        await fetch(store, key=key)
    except BlobMissing:
        got = False
    else:
        got = True
    assert got == (await store.stat(key) is not None) == (key in await keys(store)) == (key in await keys(store, key))
    return got


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 8192, BIG], ids=len)
async def test_bytes_come_back_whole(store: BlobStore, data: bytes) -> None:
    await put(store, data)
    assert await fetch(store) == data
    assert await store.stat(KEY) == BlobStat(len(data))
    assert await keys(store) == [KEY]


async def test_writes_of_any_size_join_in_order(store: BlobStore) -> None:
    parts = [b"", b"a", bytes(70_000), b"", b"b" * 8191, b"c" * 8193, BIG, b"end"]
    writer = await store.create(KEY)
    for part in parts:
        await write(writer, part)
    await writer.commit()
    assert await fetch(store) == b"".join(parts)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 3_000), length=st.integers(0, 3_000))
async def test_a_range_is_a_slice(store: BlobStore, start: int, length: int) -> None:
    data = bytes(i % 251 for i in range(2_000))
    if await store.stat(KEY) is None:
        await put(store, data)
    assert await fetch(store, start, length) == data[start : start + length]


@pytest.mark.parametrize(
    ("start", "length"), [(0, len(BIG)), (1, len(BIG) - 2), (1 << 20, 1 << 20), ((1 << 20) - 1, 2), (len(BIG) - 1, 1)]
)
async def test_a_range_over_several_pieces_is_a_slice(store: BlobStore, start: int, length: int) -> None:
    await put(store, BIG)
    assert await fetch(store, start, length) == BIG[start : start + length]


@pytest.mark.parametrize(("start", "length", "left"), [(4, 100, 1), (5, 1, 0), (1 << 40, 1, 0), (0, 1 << 40, 5)])
async def test_a_range_past_the_end_gives_fewer_bytes(store: BlobStore, start: int, length: int, left: int) -> None:
    await put(store, b"hello")
    assert len(await fetch(store, start, length)) == left


async def test_no_piece_is_empty(store: BlobStore) -> None:
    await put(store, BIG)
    assert all([len(piece) > 0 async for piece in store.get(KEY, [(0, 1 << 30)], bytes)])
    await put(store, b"", OTHER)
    assert [piece async for piece in store.get(OTHER, [(0, 10)], bytes)] == []


@pytest.mark.parametrize(
    "spans",
    [
        [],
        [(0, 5), (20, 5), (10, 5)],
        [(0, 168), (1_000, 3_000), (100, 2_000_000)],
        [(3, 4), (3, 4), (0, 100), (50, 100)],
        [(7, 0), (len(BIG) - 3, 10), (len(BIG), 1), (1 << 40, 1), (0, 2)],
    ],
)
async def test_spans_come_one_after_the_other(store: BlobStore, spans: list[ByteSpan]) -> None:
    await put(store, BIG)
    pieces = [piece async for piece in store.get(KEY, spans, bytes, size=len(BIG))]
    assert b"".join(pieces) == b"".join(BIG[start : start + length] for start, length in spans)
    assert b"" not in pieces


async def test_no_piece_has_bytes_of_two_spans(store: BlobStore) -> None:
    await put(store, BIG)
    assert [piece async for piece in store.get(KEY, [(0, 3), (3, 3), (1, 4)], bytes)] == [BIG[:3], BIG[3:6], BIG[1:5]]


@pytest.mark.parametrize("size", [0, len(BIG) - 1, len(BIG) + 1])
async def test_a_blob_of_another_size_is_refused_before_any_byte(store: BlobStore, size: int) -> None:
    await put(store, BIG)
    seen: list[bytes] = []
    with pytest.raises(IntegrityError):
        await anext(store.get(KEY, [(0, 1)], lambda piece: seen.append(bytes(piece)), size=size))
    assert seen == []


async def test_what_use_raises_ends_the_reading(store: BlobStore) -> None:
    await put(store, BIG)

    def use(piece: memoryview) -> int:
        if piece[0] == 7:
            raise IntegrityError
        return len(piece)

    with pytest.raises(IntegrityError):
        [piece async for piece in store.get(KEY, [(0, 3), (7, 3), (0, 3)], use)]
    assert await fetch(store) == BIG


async def test_a_reader_may_leave_early(store: BlobStore) -> None:
    await put(store, BIG)
    async with aclosing(store.get(KEY, [(0, 1 << 30)], bytes)) as pieces:
        assert BIG.startswith(await anext(pieces))
    assert await fetch(store) == BIG


async def test_many_readers_of_one_blob(store: BlobStore) -> None:
    await put(store, BIG)
    results = await asyncio.gather(*(fetch(store, start, 100_000) for start in range(0, 1_000_000, 100_000)))
    assert b"".join(results) == BIG[:1_000_000]


async def test_nothing_is_visible_before_commit(store: BlobStore) -> None:
    writer = await store.create(KEY)
    assert not await is_visible(store)
    await write(writer, BIG)
    assert not await is_visible(store)
    await writer.commit()
    assert await is_visible(store)


@pytest.mark.parametrize("written", [b"", b"some", BIG], ids=len)
async def test_nothing_is_visible_after_abort(store: BlobStore, written: bytes) -> None:
    writer = await store.create(KEY)
    await write(writer, written)
    await writer.abort()
    assert not await is_visible(store)


async def test_abort_is_idempotent_and_frees_the_key(store: BlobStore) -> None:
    for _ in range(3):
        writer = await store.create(KEY)
        await write(writer, b"some")
        await writer.abort()
        await writer.abort()
    await put(store, b"whole")
    assert await fetch(store) == b"whole"


async def test_abort_after_commit_changes_nothing(store: BlobStore) -> None:
    writer = await store.create(KEY)
    await write(writer, b"whole")
    await writer.commit()
    await writer.abort()
    assert await fetch(store) == b"whole"


async def test_nothing_is_visible_after_a_cancelled_writer(store: BlobStore) -> None:
    writing = asyncio.Event()

    async def write_for_ever() -> None:
        writer = await store.create(KEY)
        try:
            while True:
                await write(writer, b"x" * 10_000)
                writing.set()
                await asyncio.sleep(0)
        finally:
            await writer.abort()

    task = asyncio.create_task(write_for_ever())
    await writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not await is_visible(store)
    await put(store, b"whole")
    assert await fetch(store) == b"whole"


@pytest.mark.parametrize("steps", range(6))
async def test_delete_settles_a_cancelled_commit(store: BlobStore, steps: int) -> None:
    writer = await store.create(KEY)
    await write(writer, b"whole")
    task = asyncio.ensure_future(writer.commit())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await writer.abort()
    await store.delete(KEY)
    assert not await is_visible(store)


async def test_a_taken_key_is_refused_or_its_blob_replaced_whole(store: BlobStore) -> None:
    await put(store, b"first")
    refused = await refusal(put(store, b"second"))
    assert (refused is not None) == store.exclusive_create
    assert await fetch(store) == (b"first" if refused else b"second")


async def refusal(attempt: Awaitable[None]) -> StoreAway | None:
    try:
        await attempt
    except StoreAway as refused:
        return refused
    return None


async def test_of_many_writers_of_one_key_one_has_its_blob_there_whole(store: BlobStore) -> None:
    blobs = [bytes([n]) * 50_000 for n in range(8)]
    refusals = await asyncio.gather(*(refusal(put(store, blob)) for blob in blobs))
    taken = [blob for blob, refused in zip(blobs, refusals, strict=True) if refused is None]
    assert await fetch(store) in taken
    assert len(taken) == (1 if store.exclusive_create else 8)


async def test_a_second_writer_of_a_key_and_the_first_never_mix(store: BlobStore) -> None:
    first = await store.create(KEY)
    await write(first, b"first")
    second_refused = await refusal(put(store, b"second"))
    first_refused = await refusal(first.commit())
    if store.exclusive_create:
        assert (first_refused is None) != (second_refused is None)
    assert await fetch(store) == (b"second" if first_refused else b"first")


async def test_blobs_do_not_mix(store: BlobStore) -> None:
    names = [new_id().hex for _ in range(20)]
    await asyncio.gather(*(put(store, name.encode() * 100, name) for name in names))
    assert await keys(store) == sorted(names)
    for name in names:
        assert await fetch(store, key=name) == name.encode() * 100


async def test_delete_removes_the_blob_and_is_idempotent(store: BlobStore) -> None:
    await put(store, b"one")
    await put(store, b"two", OTHER)
    await store.delete(KEY)
    assert not await is_visible(store)
    await store.delete(KEY)
    assert await keys(store) == [OTHER]


async def test_deleting_what_never_was_is_fine(store: BlobStore) -> None:
    await store.delete(KEY)
    assert not await is_visible(store)


async def test_an_unfinished_create_that_was_deleted_is_in_nobodys_way(store: BlobStore) -> None:
    writer = await store.create(KEY)
    await write(writer, b"half")
    await store.delete(KEY)
    await writer.abort()
    assert not await is_visible(store)
    await put(store, b"whole")
    assert await fetch(store) == b"whole"


def names_below(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*")]


async def test_what_an_unfinished_create_leaves_is_reaped_by_a_store_that_says_so(
    store: BlobStore, tmp_path: Path
) -> None:
    writer = await store.create(KEY)
    await write(writer, BIG)
    await store.delete(KEY)  # a process that is gone aborts nothing
    left = getattr(store, "unfinished", []) or names_below(tmp_path).count(KEY)
    assert (not left) == store.reaps_unfinished
    await writer.abort()


async def test_list_by_prefix(store: BlobStore) -> None:
    names = ["aa" + "0" * 30, "ab" + "0" * 30, "ab" + "1" * 30, "b" * 32]
    for name in names:
        await put(store, b"x", name)
    assert await keys(store, "a") == names[:3]
    assert await keys(store, "ab") == names[1:3]
    assert await keys(store, names[1]) == [names[1]]
    assert await keys(store, "c") == []
    assert await keys(store) == names


async def test_list_is_empty_at_first_and_shows_no_unfinished_blob(store: BlobStore) -> None:
    assert await keys(store) == []
    writer = await store.create(KEY)
    await write(writer, b"half")
    assert await keys(store) == []
    await writer.abort()


async def test_a_missing_blob_is_missing(store: BlobStore) -> None:
    assert await store.stat(KEY) is None
    with pytest.raises(BlobMissing):
        await fetch(store)
    with pytest.raises(IntegrityError):
        await anext(store.get(KEY, [(0, 0)], bytes))


@pytest.mark.parametrize("key", NOT_KEYS)
async def test_what_is_no_key_is_a_bug(store: BlobStore, key: str) -> None:
    for use in (store.create, store.stat, store.delete):
        with pytest.raises(RuntimeError):
            await use(key)
    with pytest.raises(RuntimeError):
        await fetch(store, key=key)


async def test_check_passes_again_and_again_and_harms_nothing(store: BlobStore) -> None:
    await put(store, b"whole")
    await asyncio.gather(*(store.check() for _ in range(5)))
    assert await fetch(store) == b"whole"


async def test_closing_twice_is_fine(store: BlobStore) -> None:
    await store.aclose()
    await store.aclose()


async def test_a_store_says_who_it_is_and_is_founded_once(store: BlobStore) -> None:
    assert 0 < len(store.scheme) <= 64
    before = store.id
    with pytest.raises(StoreAway):
        await store.found(new_id())
    assert await store.identify() == store.id == before


def test_the_registry_opens_what_urls_name_in_their_order(tmp_path: Path) -> None:
    memory, local = open_blob_stores(["memory:", f"file://{tmp_path}/a%20b"], {})
    assert isinstance(memory, MemoryStore)
    assert isinstance(local, LocalStore)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s4://bucket",
        "file:",
        "file://host/path",
        "file:relative",
        "file:///x?y=1",
        "file:///x#y",
        "FILE:///x",
        "/x",
    ],
)
def test_a_url_that_names_no_store_stops_the_start(url: str) -> None:
    with pytest.raises(ConfigError, match="PORTAL_BLOB_URLS"):
        open_blob_stores([url], {})


async def test_a_local_store_lives_where_its_url_says(tmp_path: Path) -> None:
    (store,) = open_blob_stores([f"file://{tmp_path}/with%20space"], {})
    await store.found(new_id())
    await store.check()
    await put(store, b"x")
    assert [path.name for path in (tmp_path / "with space" / "blobs").rglob(KEY)] == [KEY]
