"""What only files have: modes, links, full disks, the order of fsyncs, descriptors."""

import asyncio
import errno
import fcntl
import os
import resource
import shutil
import signal
import socket
import stat
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import aiofiles.os
import anyio
import pytest

from portal.backends.blobs import local
from portal.backends.blobs.base import BlobMissing, StoreAway
from portal.backends.blobs.blockfile import BlockFile
from portal.backends.blobs.local import LocalStore
from portal.core import tasks
from portal.core.errors import PortalError, StorageFull
from portal.core.ids import new_id

from .pieces import write

KEY, OTHER = "0123456789abcdef" * 2, "f" * 32
BIG = bytes(5 << 19)  # more than one call into a thread reads


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


def failing(number: int) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
async def test_no_room_for_a_new_file(store: LocalStore, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(local, "BlockFile", failing(number))
    with pytest.raises(StorageFull):
        await store.create(KEY)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE, errno.ENOENT])
async def test_a_store_that_takes_no_files(store: LocalStore, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(local, "BlockFile", failing(number))
    with pytest.raises(StoreAway):
        await store.create(KEY)


class FullFile(BlockFile):
    """Its descriptor is that of the kernel's full device."""

    def __init__(self, path: Path, piece: int) -> None:
        super().__init__(path, piece)
        device = os.open("/dev/full", os.O_WRONLY)
        os.dup2(device, self._descriptor, inheritable=False)
        os.close(device)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every new file is the kernel's full device, under a name in the store."""
    monkeypatch.setattr(local, "BlockFile", FullFile)


@pytest.mark.usefixtures("full_disk")
async def test_a_disk_that_is_full_at_a_write(store: LocalStore, root: Root) -> None:
    writer = await store.create(KEY)
    with pytest.raises(StorageFull):
        await write(writer, BIG)
    await writer.abort()
    assert root.leftovers() == []
    assert not await is_visible(store)


@pytest.mark.usefixtures("full_disk")
async def test_a_disk_that_is_full_at_the_commit(store: LocalStore, root: Root) -> None:
    writer = await store.create(KEY)
    await write(writer, b"held in a buffer until then")
    with pytest.raises(StorageFull):
        await writer.commit()
    assert not await is_visible(store)
    await store.delete(KEY)
    assert root.leftovers() == []


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


async def test_a_read_that_fails_in_the_middle(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(store)
    monkeypatch.setattr(local, "_open_regular", lambda *_: os.open("/proc/self/mem", os.O_RDONLY))  # its page 0 is EIO
    with pytest.raises(StoreAway):
        await fetch(store)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE, errno.ESTALE])
async def test_a_store_that_gives_no_files(store: LocalStore, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    await put(store)
    monkeypatch.setattr(local, "_open_regular", failing(number))
    with pytest.raises(StoreAway):
        await fetch(store)


async def test_a_store_that_tells_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(store)
    for name in ("stat", "listdir"):
        monkeypatch.setattr(aiofiles.os, name, failing(errno.EIO))
    with pytest.raises(StoreAway):
        await store.stat(KEY)
    with pytest.raises(StoreAway):
        [key async for key in store.list()]


async def test_a_store_that_deletes_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(store)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", failing(errno.EROFS))
        with pytest.raises(StoreAway):
            await store.delete(KEY)
    assert await fetch(store) == b"whole"


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


class Disk:
    """Tells what reaches the disk, in order; fsync fails for what `broken` names."""

    def __init__(self, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[str] = []
        self.broken: set[str] = set()
        self._root = root
        really_fsync, really_rename, really_unlink = os.fsync, Path.rename, Path.unlink

        def fsync(descriptor: int) -> None:
            name = self._name(Path(f"/proc/self/fd/{descriptor}").readlink())
            self.told.append(f"fsync {name}")
            if name in self.broken:
                raise OSError(errno.EIO, "some pages were lost")
            really_fsync(descriptor)

        def rename(source: Path, target: Path) -> Path:
            self.told.append(f"rename {self._name(source)} {self._name(target)}")
            return really_rename(source, target)

        def unlink(path: Path, *, missing_ok: bool = False) -> None:
            really_unlink(path, missing_ok=missing_ok)
            self.told.append(f"unlink {self._name(path)}")

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(Path, "rename", rename)
        monkeypatch.setattr(Path, "unlink", unlink)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root.path.parent).as_posix().replace(KEY, "KEY")


@pytest.fixture
def disk(store: LocalStore, root: Root, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Told of nothing that `store` did before."""
    del store
    return Disk(root, monkeypatch)


async def test_a_blob_is_on_disk_before_its_name_and_its_name_before_commit_returns(
    store: LocalStore, disk: Disk
) -> None:
    await put(store)
    assert disk.told == [
        "fsync store/tmp/KEY",
        "rename store/tmp/KEY store/blobs/ef/KEY",
        "fsync store/blobs/ef",
        "fsync store/tmp",
    ]


async def test_everything_written_has_reached_the_file_when_it_is_synced(
    store: LocalStore, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: sizes.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))
    )
    writer = await store.create(KEY)
    number = root.unfinished.stat().st_ino
    await write(writer, BIG)
    await write(writer, b"and a little that a buffer may hold")
    await writer.commit()
    assert sizes[0] == (number, len(BIG) + 35)


async def test_a_deleted_name_is_gone_from_the_disk_too(store: LocalStore, root: Root, disk: Disk) -> None:
    await put(store)
    root.unfinished.touch()
    disk.told.clear()
    await store.delete(KEY)
    assert disk.told == [
        "unlink store/tmp/KEY",
        "fsync store/tmp",
        "unlink store/blobs/ef/KEY",
        "fsync store/blobs/ef",
    ]


async def test_a_name_that_is_gone_already_is_gone_from_the_disk_too(store: LocalStore, root: Root, disk: Disk) -> None:
    await put(store)
    disk.broken = {"store/blobs/ef"}
    with pytest.raises(StoreAway):
        await store.delete(KEY)
    assert not root.blob.exists()
    disk.broken = set()
    disk.told.clear()
    await store.delete(KEY)
    assert [told for told in disk.told if told.startswith("fsync")] == ["fsync store/tmp", "fsync store/blobs/ef"]


async def test_a_store_without_its_folder_has_deleted_nothing(store: LocalStore, root: Root, tmp_path: Path) -> None:
    await put(store)
    root.path.rename(tmp_path / "unmounted")
    with pytest.raises(StoreAway):
        await store.delete(KEY)
    (tmp_path / "unmounted").rename(root.path)
    assert await fetch(store) == b"whole"


async def test_new_folders_are_on_disk_before_the_first_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(tmp_path / "other")
    disk = Disk(root, monkeypatch)
    await LocalStore(root.path).found(new_id())
    synced = [told for told in disk.told if told.startswith("fsync")]
    assert set(synced) >= {"fsync other/blobs", "fsync other", "fsync ."}
    assert synced[-1] == "fsync other"  # its id


async def test_a_failed_fsync_gives_the_blob_up_and_is_not_tried_again(
    store: LocalStore, root: Root, disk: Disk
) -> None:
    disk.broken = {"store/tmp/KEY"}
    with pytest.raises(StoreAway):
        await put(store)
    assert disk.told == ["fsync store/tmp/KEY", "unlink store/tmp/KEY"]
    assert not await is_visible(store)
    with pytest.raises(BlobMissing):
        await fetch(store)
    assert root.leftovers() == []


async def test_a_blob_whose_folder_could_not_be_synced_was_never_promised(store: LocalStore, disk: Disk) -> None:
    disk.broken = {"store/blobs/ef"}
    with pytest.raises(StoreAway):
        await put(store)
    assert disk.told[-1] == "fsync store/blobs/ef"
    disk.broken = set()
    await store.delete(KEY)
    assert not await is_visible(store)


async def fails(store: LocalStore) -> None:
    """Every verb once; what fails, fails."""
    writers = []
    for _ in range(2):
        try:
            writer = await store.create(KEY)
            writers.append(writer)
            await write(writer, BIG)
            await writer.commit()
        except PortalError:
            pass
    for writer in writers:
        await writer.abort()
    for use in (fetch(store), store.delete(KEY), store.check()):
        await asyncio.gather(use, return_exceptions=True)


BREAKS: dict[str, tuple[object, str, object]] = {
    "fstat": (local, "stat", SimpleNamespace(S_ISREG=failing(errno.EIO))),
    "nothing": (os, "getpid", os.getpid),
    "create": (local, "BlockFile", failing(errno.ENOSPC)),
    "write": (local, "BlockFile", FullFile),
    "direct": (fcntl, "fcntl", failing(errno.EIO)),
    "fsync": (os, "fsync", failing(errno.EIO)),
    "rename": (Path, "rename", failing(errno.EIO)),
    "open": (local, "_open_regular", failing(errno.EIO)),
    "read": (local, "_open_regular", lambda *_: os.open("/proc/self/mem", os.O_RDONLY)),
    "unlink": (Path, "unlink", failing(errno.EIO)),
}


@pytest.mark.parametrize("broken", BREAKS)
async def test_no_failure_leaves_a_descriptor_open(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setattr(*BREAKS[broken])
    await fails(store)
    before = open_descriptors()
    for _ in range(5):
        await fails(store)
    assert open_descriptors() == before


class Door:
    """Opens files only when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, opener: str) -> None:
        self._loop, self._really = asyncio.get_running_loop(), getattr(local, opener)
        self.knocked, self.open = asyncio.Event(), threading.Event()
        monkeypatch.setattr(local, opener, self._open)

    def _open(self, *arguments: object) -> object:
        self._loop.call_soon_threadsafe(self.knocked.set)
        self.open.wait(30)
        return self._really(*arguments)


async def test_a_create_that_is_cancelled_while_its_file_is_being_opened_leaves_nothing(
    store: LocalStore, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(store)
    await store.delete(KEY)
    before, door = open_descriptors(), Door(monkeypatch, "BlockFile")
    creating = asyncio.create_task(store.create(KEY))
    await door.knocked.wait()
    creating.cancel()
    await asyncio.sleep(0)
    door.open.set()
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert root.leftovers() == []
    assert open_descriptors() == before
    await put(store)
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


async def test_a_get_that_is_cancelled_while_its_file_is_being_opened_closes_it(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(store)
    before, door = open_descriptors(), Door(monkeypatch, "_open_regular")
    getting = asyncio.create_task(fetch(store))
    await door.knocked.wait()
    getting.cancel()
    await asyncio.sleep(0)
    door.open.set()
    with pytest.raises(asyncio.CancelledError):
        await getting
    assert open_descriptors() == before


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
