"""The file in blocks: any bytes in any pieces, whatever the file system makes of it."""

import errno
import os
import resource
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from mmap import PAGESIZE
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.backends.blobs import blockfile
from portal.backends.blobs.base import copy_of as given_bytes
from portal.backends.blobs.blockfile import BlockFile

PIECE = 2 << 20
ROUGH = bytes(range(251)) * 20_000  # 5 MB that fit no page


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockfile, "BLOCK", 2 * PAGESIZE)


def append(file: BlockFile, data: bytes) -> None:
    file.append(len(data), given_bytes(data))


def write(file: BlockFile, data: bytes, piece: int = PIECE) -> None:
    for at in range(0, len(data), piece):
        append(file, data[at : at + piece])


def descriptors(path: Path) -> list[int]:
    """Those of this process that are open on the file."""
    return [int(one.name) for one in Path("/proc/self/fd").iterdir() if one.exists() and one.samefile(path)]


def failing(number: int) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 15, 4095, 4096, 4097, 8192, 12_288]) | st.integers(0, 12_288), max_size=12)
)
@pytest.mark.usefixtures("small_blocks")
def test_pieces_of_any_size_join_in_order(path: Path, sizes: list[int]) -> None:
    path.unlink(missing_ok=True)
    pieces = [ROUGH[number : number + size] for number, size in enumerate(sizes)]
    file = BlockFile(path, 12_288)
    for piece in pieces:
        append(file, piece)
    file.finish()
    assert path.read_bytes() == b"".join(pieces)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20, (2 << 20) + 1, len(ROUGH)])
@pytest.mark.parametrize("piece", [PIECE, (1 << 20) + 168, 70_001])
def test_bytes_around_every_block_come_back(path: Path, size: int, piece: int) -> None:
    file = BlockFile(path, PIECE)
    write(file, ROUGH[:size], piece)
    file.finish()
    assert path.read_bytes() == ROUGH[:size]


def test_a_file_is_never_written_over(path: Path) -> None:
    path.write_bytes(b"first")
    with pytest.raises(FileExistsError):
        BlockFile(path, PIECE)
    assert path.read_bytes() == b"first"


@pytest.mark.usefixtures("small_blocks")
def test_it_tells_what_it_takes_without_a_call_to_the_system(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = BlockFile(path, PIECE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(errno.EIO))
        assert file.holds(8191)
        append(file, bytes(8191))
        assert not file.holds(1)
        with pytest.raises(OSError, match="Input/output"):
            append(file, b"x")
    file.close()


@pytest.fixture
def let_go(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(start, length) of what the kernel was told to write, or to drop where it is written."""
    told: list[tuple[int, int]] = []

    monkeypatch.setattr(os, "posix_fadvise", lambda _descriptor, start, length, _advice: told.append((start, length)))
    return told


def test_each_block_is_on_its_way_to_the_disk_before_the_next(path: Path, let_go: list[tuple[int, int]]) -> None:
    file = BlockFile(path, PIECE)
    append(file, ROUGH[:168])
    append(file, ROUGH[168 : PIECE + 168])
    assert let_go == [(0, PIECE)]
    append(file, ROUGH[PIECE + 168 : 2 * PIECE])
    assert let_go == [(0, PIECE), (PIECE, PIECE)]
    append(file, b"the end")
    file.finish()
    assert len(let_go) == 2
    assert path.read_bytes() == ROUGH[: 2 * PIECE] + b"the end"


def test_of_a_large_file_the_cache_keeps_the_beginning_and_the_end(
    path: Path, let_go: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blockfile, "KEPT", 2 * PIECE)
    monkeypatch.setattr(blockfile, "DRAINED", PIECE)
    file, times = BlockFile(path, PIECE), Counter[int]()
    for number in range(8):
        append(file, ROUGH[number : number + PIECE // 2])
        append(file, ROUGH[number : number + PIECE // 2])
    file.finish()
    for start, length in let_go:
        times.update(range(start, start + length, blockfile.BLOCK))
    blocks = [times[at] for at in range(0, 8 * PIECE, blockfile.BLOCK)]
    assert blocks == [1] * 4 + [2] * 10 + [1] * 2  # the second time it is on the disk


def test_advice_that_the_system_refuses_is_no_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "posix_fadvise", failing(errno.EINVAL))
    file = BlockFile(path, PIECE)
    write(file, ROUGH)
    file.finish()
    assert path.read_bytes() == ROUGH


def test_where_the_system_has_no_such_call_the_file_is_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    file = BlockFile(path, PIECE)
    write(file, ROUGH)
    file.finish()
    assert path.read_bytes() == ROUGH


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no file system in memory")  # noqa: S108  # the place itself
def test_a_file_system_in_memory_will_do() -> None:
    path = Path("/dev/shm") / f"portal-{os.getpid()}-{threading.get_ident()}"  # noqa: S108  # created exclusively
    file = BlockFile(path, PIECE)
    try:
        write(file, ROUGH)
        file.finish()
        assert path.read_bytes() == ROUGH
    finally:
        path.unlink()


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("length", [1, 511, 512, 4095, 4096, 4097, 600_000])
def test_a_write_that_is_cut_short_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, at: int, length: int
) -> None:
    file, really, number = BlockFile(path, PIECE), os.write, count()

    def short(descriptor: int, data: memoryview) -> int:
        return really(descriptor, data[:length] if next(number) in {at, at + 1} else data)

    monkeypatch.setattr(os, "write", short)
    write(file, ROUGH, 1 << 20)
    file.finish()
    assert path.read_bytes() == ROUGH


@pytest.fixture
def files_end_at(request: pytest.FixtureRequest) -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (request.param, hard))
    yield request.param
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("files_end_at", [4096, 100_000, 1 << 20, (1 << 20) + 513], indirect=True)
def test_what_fits_before_the_end_of_the_room_is_in_its_place_and_the_rest_an_error(
    path: Path, files_end_at: int
) -> None:
    file = BlockFile(path, PIECE)
    with pytest.raises(OSError, match="File too large"):
        write(file, ROUGH)
    file.close()
    found = path.read_bytes()
    assert len(found) <= files_end_at
    assert ROUGH.startswith(found)


@pytest.mark.parametrize("end", [BlockFile.close, BlockFile.finish])
def test_nothing_is_written_after_the_end_and_closing_again_is_fine(
    path: Path, end: Callable[[BlockFile], None]
) -> None:
    file = BlockFile(path, PIECE)
    append(file, b"whole")
    end(file)
    for more in (b"", b"more", ROUGH[:PIECE]):
        with pytest.raises(ValueError, match="closed"):
            append(file, more)
    file.close()
    assert path.read_bytes() in {b"", b"whole"}


def test_closing_waits_for_a_write_that_is_under_way(path: Path) -> None:
    making, made = threading.Event(), threading.Event()
    file = BlockFile(path, PIECE)

    def slowly(room: memoryview) -> None:
        making.set()
        made.wait(30)
        room[:] = ROUGH[:PIECE]

    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(file.append, PIECE, slowly)
        making.wait(30)
        closing = threads.submit(file.close)
        assert not closing.done()
        made.set()
        writing.result(30)
        closing.result(30)
    assert path.read_bytes() == ROUGH[:PIECE]


def test_what_could_not_be_made_is_not_written_and_the_file_is_closed_all_the_same(path: Path) -> None:
    views: list[memoryview] = []

    def fail(room: memoryview) -> None:
        views.append(memoryview(room))  # as the traceback of a sealer that failed would hold one
        raise RuntimeError("out of order")

    file = BlockFile(path, PIECE)
    append(file, b"before")
    with pytest.raises(RuntimeError, match="out of order"):
        file.append(PIECE, fail)
    file.close()
    assert descriptors(path) == []
    with pytest.raises(ValueError, match="closed"):
        append(file, b"more")
    assert path.read_bytes() == b""
