"""What only files have: modes, links, limits, identity, descriptors.

What the system may do to them (calls that fail, disks that are full, power cuts, the order of fsync and rename) is
proven at the system call: `reliability/test_io_faults`, `test_full_disk`, `test_short_writes`, `test_crash_states` and
`test_order`.
"""

import asyncio
import os
import resource
import shutil
import signal
import socket
import stat
import threading
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from portal.backends.blobs.base import BlobMissing, StoreAway
from portal.backends.blobs.local import LocalStore
from portal.core import tasks
from portal.core.errors import StorageFull
from portal.core.ids import new_id

from .pieces import write

KEY, OTHER = "0123456789abcdef" * 2, "f" * 32
BIG = bytes(5 << 20)  # more than two calls into a thread read


class Root:
    """Where a store keeps what."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tmp, self.blobs = path / "tmp", path / "blobs"
        self.shard = self.blobs / KEY[-2:]
        self.unfinished, self.blob = self.tmp / KEY, self.shard / KEY

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.tmp.iterdir())


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "store")


@pytest.fixture
async def store(root: Root) -> LocalStore:
    made = LocalStore(root.path)
    await made.found(new_id())
    return made


async def put(store: LocalStore, data: bytes = b"whole") -> None:
    writer = await store.create(KEY)
    await write(writer, data)
    await writer.commit()


async def fetch(store: LocalStore) -> bytes:
    return b"".join([piece async for piece in store.get(KEY, [(0, 1 << 30)], bytes)])


async def is_visible(store: LocalStore) -> bool:
    return await store.stat(KEY) is not None or KEY in [key async for key in store.list()]


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def test_every_folder_is_the_owners_alone(store: LocalStore, root: Root) -> None:
    await store.check()
    folders = [root.path, root.tmp, root.blobs, *root.blobs.iterdir()]
    assert len(folders) == 3 + 256
    assert {mode(folder) for folder in folders} == {0o700}


async def test_a_blob_is_the_owners_alone_from_its_first_byte(store: LocalStore, root: Root) -> None:
    writer = await store.create(KEY)
    assert mode(root.unfinished) == 0o600
    await write(writer, BIG)
    await writer.commit()
    assert mode(root.blob) == 0o600
    assert root.leftovers() == []


async def test_a_blob_lies_in_the_folder_of_its_last_two_digits(store: LocalStore, root: Root) -> None:
    await put(store)
    assert [path.relative_to(root.path) for path in root.path.rglob(KEY)] == [Path("blobs", "ef", KEY)]


async def test_an_unfinished_blob_lies_elsewhere_and_abort_removes_it(store: LocalStore, root: Root) -> None:
    writer = await store.create(KEY)
    assert (root.leftovers(), root.blob.exists()) == ([KEY], False)
    await writer.abort()
    assert (root.leftovers(), root.blob.exists()) == ([], False)


async def test_abort_copes_with_a_file_that_is_gone(store: LocalStore, root: Root) -> None:
    writer = await store.create(KEY)
    await write(writer, b"some")
    root.unfinished.unlink()
    await writer.abort()


async def test_delete_empties_both_places(store: LocalStore, root: Root) -> None:
    await put(store)
    root.unfinished.write_bytes(b"of an earlier life")
    await store.delete(KEY)
    assert (root.leftovers(), root.blob.exists()) == ([], False)


async def test_what_a_crash_left_keeps_its_key_until_it_is_deleted(store: LocalStore, root: Root) -> None:
    root.unfinished.write_bytes(b"half")
    assert not await is_visible(store)
    with pytest.raises(StoreAway):
        await store.create(KEY)
    assert root.unfinished.read_bytes() == b"half"
    await store.delete(KEY)
    await put(store)
    assert await fetch(store) == b"whole"


async def test_a_refused_key_leaves_nothing_behind(store: LocalStore, root: Root) -> None:
    await put(store)
    with pytest.raises(StoreAway):
        await store.create(KEY)
    assert root.leftovers() == []


async def test_a_new_store_on_an_old_folder_finds_its_blobs(store: LocalStore, root: Root) -> None:
    await put(store)
    again = LocalStore(root.path)
    assert await again.identify() == store.id
    await again.check()
    assert await fetch(again) == b"whole"


def put_symlink(place: Path) -> None:
    target = place.with_name("elsewhere")
    target.write_bytes(b"not a blob")
    place.symlink_to(target)


def put_dangling_symlink(place: Path) -> None:
    place.symlink_to("nowhere")


def put_loop(place: Path) -> None:
    place.symlink_to(place)


def put_socket(place: Path) -> None:
    folder = os.open(place.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{place.name}")  # the path of a socket may have 108 bytes
    os.close(folder)


IMPOSTORS = {
    "a symlink": put_symlink,
    "a dangling symlink": put_dangling_symlink,
    "a loop": put_loop,
    "a FIFO": os.mkfifo,
    "a folder": Path.mkdir,
    "a socket": put_socket,
}
impostors = pytest.mark.parametrize("impostor", IMPOSTORS.values(), ids=list(IMPOSTORS))


@impostors
async def test_something_else_in_a_blobs_place_is_no_blob(
    store: LocalStore, root: Root, impostor: Callable[[Path], None]
) -> None:
    impostor(root.blob)
    await store.stat(KEY)
    before = open_descriptors()
    with pytest.raises(BlobMissing):
        await fetch(store)
    assert await store.stat(KEY) is None
    assert open_descriptors() == before


@impostors
async def test_something_else_at_the_temporary_name_is_neither_followed_nor_changed(
    store: LocalStore, root: Root, impostor: Callable[[Path], None]
) -> None:
    impostor(root.unfinished)
    before = sorted((path.name, path.lstat().st_size) for path in root.tmp.iterdir())
    with pytest.raises(StoreAway):
        await store.create(KEY)
    assert sorted((path.name, path.lstat().st_size) for path in root.tmp.iterdir()) == before


async def test_files_that_are_no_keys_are_not_listed(store: LocalStore, root: Root) -> None:
    await put(store)
    for name in ("README", KEY + ".bak", KEY.upper(), KEY[:-1]):
        (root.shard / name).touch()
    assert [key async for key in store.list()] == [KEY]


@pytest.fixture
def small_files_only() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.usefixtures("small_files_only")
async def test_a_file_over_the_systems_limit(store: LocalStore, root: Root) -> None:
    for data in (BIG, bytes(100_001)):  # it is noticed at a write, or at the commit
        with pytest.raises(StorageFull):
            await put(store, data)
        await store.delete(KEY)
        assert root.leftovers() == []
    await put(store, bytes(100_000))
    assert await fetch(store) == bytes(100_000)


async def test_a_store_without_its_folder_is_away(store: LocalStore, root: Root, tmp_path: Path) -> None:
    root.path.rename(tmp_path / "unmounted")
    with pytest.raises(StoreAway):
        await store.check()
    with pytest.raises(StoreAway):
        await store.create(KEY)
    assert not root.path.exists()


async def test_a_folder_that_is_no_store_has_no_id_and_is_not_made_one(tmp_path: Path) -> None:
    for path in (tmp_path / "absent" / "store", tmp_path):
        store = LocalStore(path)
        assert await store.identify() is None
        with pytest.raises(RuntimeError):
            store.id  # noqa: B018  # asking is enough
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    "said", [b"", b"{", b"[]", b'{"format": 2, "id": "' + b"0" * 32 + b'"}', b'{"format": 1, "id": 7}']
)
async def test_an_id_that_says_something_else_is_no_store_and_is_not_replaced(root: Root, said: bytes) -> None:
    root.path.mkdir()
    (root.path / "store.json").write_bytes(said)
    for use in (LocalStore(root.path).identify(), LocalStore(root.path).found(new_id())):
        with pytest.raises(StoreAway):
            await use
    assert (root.path / "store.json").read_bytes() == said


@pytest.mark.parametrize("mounted", ["nothing", "an empty folder", "another store"])
async def test_where_its_volume_is_not_mounted_a_blob_is_away_and_not_missing(
    store: LocalStore, root: Root, tmp_path: Path, mounted: str
) -> None:
    await put(store)
    root.path.rename(tmp_path / "unmounted")
    if mounted == "an empty folder":
        root.path.mkdir()
    if mounted == "another store":
        await LocalStore(root.path).found(new_id())
    for use in (fetch(store), store.stat(KEY), store.check(), store.create(OTHER)):
        with pytest.raises(StoreAway):
            await use
    shutil.rmtree(root.path, ignore_errors=True)
    (tmp_path / "unmounted").rename(root.path)
    assert await fetch(store) == b"whole"


async def test_of_many_who_found_a_store_at_once_one_does(root: Root) -> None:
    stores = [LocalStore(root.path) for _ in range(8)]
    told = await asyncio.gather(*(store.found(new_id()) for store in stores), return_exceptions=True)
    (first,) = [store for store, error in zip(stores, told, strict=True) if error is None]
    assert await LocalStore(root.path).identify() == first.id
    assert all(isinstance(error, StoreAway) for error in told if error is not None)
    assert not list(root.path.glob(".store*"))


async def test_what_was_cut_off_before_its_id_was_written_is_founded_again(root: Root) -> None:
    (root.path / "tmp").mkdir(parents=True)
    store = LocalStore(root.path)
    assert await store.identify() is None
    await store.found(new_id())
    await put(store)


async def test_a_store_whose_folder_cannot_be_made_is_away(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreAway):
        await LocalStore(tmp_path / "file" / "store").found(new_id())


async def test_a_store_without_its_folder_has_deleted_nothing(store: LocalStore, root: Root, tmp_path: Path) -> None:
    await put(store)
    root.path.rename(tmp_path / "unmounted")
    with pytest.raises(StoreAway):
        await store.delete(KEY)
    (tmp_path / "unmounted").rename(root.path)
    assert await fetch(store) == b"whole"


@pytest.mark.parametrize("steps", range(5))
async def test_a_create_that_is_cancelled_at_any_time_leaves_nothing(store: LocalStore, root: Root, steps: int) -> None:
    creating = asyncio.create_task(store.create(KEY))
    for _ in range(steps):
        await asyncio.sleep(0)
    creating.cancel()
    (result,) = await asyncio.gather(creating, return_exceptions=True)
    if not isinstance(result, BaseException):  # it was quicker
        await result.abort()
    assert root.leftovers() == []


async def test_a_reader_in_a_scope_that_is_cancelled_closes_its_file(store: LocalStore) -> None:
    await put(store, BIG)
    before = open_descriptors()
    with anyio.CancelScope() as scope:
        async with aclosing(store.get(KEY, [(0, len(BIG))], bytes)) as pieces:
            assert await anext(pieces)
            scope.cancel()
            await anext(pieces)
    await tasks.drain()
    assert open_descriptors() == before


async def test_while_a_piece_is_used_the_next_is_read_and_no_more(store: LocalStore) -> None:
    await put(store, BIG)
    loop, used, second = asyncio.get_running_loop(), list[int](), asyncio.Event()

    def use(piece: memoryview) -> int:
        used.append(len(piece))
        if len(used) == 2:
            loop.call_soon_threadsafe(second.set)
        return len(piece)

    async with aclosing(store.get(KEY, [(0, len(BIG))], use)) as pieces:
        assert await anext(pieces)
        await second.wait()
        await asyncio.to_thread(lambda: None)
        assert len(used) == 2


async def test_a_reader_that_leaves_early_closes_its_file(store: LocalStore) -> None:
    await put(store, BIG)
    before = open_descriptors()
    pieces = store.get(KEY, [(0, len(BIG))], bytes)
    assert await anext(pieces)
    assert open_descriptors() == before + 1
    await pieces.aclose()
    assert open_descriptors() == before


async def test_a_reader_that_is_cancelled_leaves_the_file_to_the_thread_that_reads_it(store: LocalStore) -> None:
    await put(store, b"whole")
    before, loop = open_descriptors(), asyncio.get_running_loop()
    reached, go_on, read = asyncio.Event(), threading.Event(), list[bytes]()

    def use(piece: memoryview) -> None:
        loop.call_soon_threadsafe(reached.set)
        go_on.wait(30)
        read.append(bytes(piece))

    reading = asyncio.ensure_future(anext(store.get(KEY, [(0, 2), (2, 3)], use)))
    await reached.wait()
    for _ in range(3):
        reading.cancel()
        await asyncio.sleep(0)
    assert open_descriptors() == before + 1
    go_on.set()
    await asyncio.gather(reading, return_exceptions=True)
    await tasks.drain()
    assert read == [b"wh", b"ole"]
    assert open_descriptors() == before


class Door(ThreadPoolExecutor):
    """Threads that keep what they did to themselves until the door is open."""

    def __init__(self) -> None:
        super().__init__(2)
        self.done, self.open = threading.Event(), threading.Event()

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        def held() -> Any:
            result = work(*arguments, **named)
            self.done.set()
            self.open.wait(30)
            return result

        return super().submit(held)


def closed_door() -> Door:
    """What runs in a thread from now on is done, and not told."""
    made = Door()
    asyncio.get_running_loop().set_default_executor(made)
    return made


async def cancelled(work: Awaitable[object], door: Door) -> None:
    """Begin, and be cancelled when a thread has done its part and nobody knows it yet."""
    working = asyncio.ensure_future(work)
    with ThreadPoolExecutor(1) as waiter:
        await asyncio.wrap_future(waiter.submit(door.done.wait, 30))
    working.cancel()
    await asyncio.sleep(0)
    door.open.set()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_a_create_that_is_cancelled_while_its_file_is_being_opened_leaves_nothing(
    store: LocalStore, root: Root
) -> None:
    before = open_descriptors()
    await cancelled(store.create(KEY), closed_door())
    assert root.leftovers() == []
    assert open_descriptors() == before
    await put(store)
    assert await fetch(store) == b"whole"


async def test_a_get_that_is_cancelled_while_its_file_is_being_read_closes_it(store: LocalStore) -> None:
    await put(store, BIG)
    before = open_descriptors()
    await cancelled(fetch(store), closed_door())
    await tasks.drain()
    assert open_descriptors() == before


async def test_the_folders_of_a_new_store_are_on_disk_before_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(Path(f"/proc/self/fd/{number}").readlink().name))
    await LocalStore(tmp_path / "other").found(new_id())
    at = next(n for n, name in enumerate(synced) if name.startswith(".store.json"))
    assert set(synced[:at]) == {"blobs", "other", tmp_path.name}
    assert synced[at + 1 :] == ["other"]


class Pool(ThreadPoolExecutor):
    """Counts the calls into a thread."""

    calls = 0

    def submit(self, *arguments: Any, **named: Any) -> Future[Any]:
        self.calls += 1
        return super().submit(*arguments, **named)


@pytest.fixture
async def pool() -> Pool:
    made = Pool(2)
    asyncio.get_running_loop().set_default_executor(made)
    return made


async def test_a_little_of_several_places_is_one_call_into_a_thread(store: LocalStore, pool: Pool) -> None:
    await put(store, BIG)
    before, pool.calls = open_descriptors(), 0
    spans = [(0, 168), (len(BIG) - 99, 99), (1 << 20, 1 << 20)]
    async with aclosing(store.get(KEY, spans, len, size=len(BIG))) as pieces:
        assert await anext(pieces) == 168
        assert (pool.calls, open_descriptors()) == (1, before)
        assert [piece async for piece in pieces] == [99, 1 << 20]
    assert pool.calls == 1


MIB = 1 << 20


@pytest.mark.parametrize(
    ("sizes", "calls"),
    [
        ([0], 1),
        ([168, 2 * MIB], 1),
        ([168, 3 * MIB], 2),
        ([168, 4 * MIB], 2),
        ([168, MIB, 5 * MIB], 3),
        ([2 * MIB, 1, 1, 1], 2),
        ([MIB] * 5, 3),
    ],
)
async def test_two_mebibytes_are_one_call_into_a_thread(
    store: LocalStore, pool: Pool, sizes: list[int], calls: int
) -> None:
    await put(store, bytes(6 * MIB))
    before, pool.calls = open_descriptors(), 0
    spans = [(MIB, size) for size in sizes]
    assert sum([piece async for piece in store.get(KEY, spans, len)]) == sum(sizes)
    assert (pool.calls, open_descriptors()) == (calls, before)


async def test_a_large_blob_is_read_into_the_same_two_mebibytes(store: LocalStore) -> None:
    await put(store, bytes(16 << 20))
    tracemalloc.start()
    assert [piece async for piece in store.get(KEY, [(0, 1 << 30)], len)] == [2 << 20] * 8
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 << 20


async def test_whatever_stands_in_the_place_of_its_id_keeps_nobody_waiting(root: Root) -> None:
    root.path.mkdir()
    told, store = root.path / "store.json", LocalStore(root.path)
    async with aclosing(store):
        for put in (lambda: os.mkfifo(told), lambda: told.write_bytes(b"[" * (2 << 20)), told.mkdir):
            shutil.rmtree(told) if told.is_dir() else told.unlink(missing_ok=True)
            put()
            with pytest.raises(StoreAway):
                await asyncio.wait_for(store.identify(), 10)
