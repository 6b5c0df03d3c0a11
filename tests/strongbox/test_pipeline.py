"""The line: digest, scan, seal and write side by side; what one of them meets ends the upload, soon and for good."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest

from portal.backends.blobs.base import BlobWriter, FillBuffer, StoreAway
from portal.backends.blobs.memory import MemoryStore
from portal.backends.scanners.base import ScannerAway, ScanOutcome, Verdict
from portal.backends.scanners.memory import MemoryScanner
from portal.core import tasks
from portal.core.buffer import Buffer
from portal.core.errors import PortalError, StorageFull
from portal.crypto.layout import Layout
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox.strongbox import Strongbox

from .sealing import NO_LIMIT, context, holds_nothing, recipe, seal

LAYOUT = Layout(1 << 16)  # runs large enough to go to threads
FIRST = LAYOUT.segment_plain(0) + LAYOUT.segment_plain(1)  # bytes of the first run
LATER = 2 * LAYOUT.segment_plain(1)
WHOLE = recipe(FIRST + LATER * 4 + 100_000)
RUNS = 6
BOUND_SECONDS = 20


class Broken(PortalError):
    """What a stage dies of."""


class Stages:
    """Counts the runs that come to scanner and writer, and breaks the one that is named, at the run that is named.

    The stage that is named `held` says that it was `entered`, and waits in its thread until its `gate` is opened.
    """

    def __init__(self) -> None:
        self.seen: dict[str, int] = {"scan": 0, "write": 0}
        self.breaks: dict[str, tuple[int, Exception]] = {}
        self.held: str | None = None
        self.entered, self.gate = threading.Event(), threading.Event()
        self.working = 0

    def passes(self, stage: str) -> None:
        number = self.seen[stage]
        self.seen[stage] += 1
        self.working += 1
        if stage == self.held:
            self.entered.set()
            assert self.gate.wait(BOUND_SECONDS)
        self.working -= 1
        at, error = self.breaks.get(stage, (None, None))
        if at == number and error is not None:
            raise error


class WatchedStore(MemoryStore):
    def __init__(self, stages: Stages) -> None:
        super().__init__()
        self._stages = stages

    async def create(self, key: str) -> BlobWriter:
        return WatchedWriter(self._stages, await super().create(key))


class WatchedWriter:
    def __init__(self, stages: Stages, inner: BlobWriter) -> None:
        self._stages, self._inner, self._begun = stages, inner, False
        self.commit, self.abort = inner.commit, inner.abort

    async def write(self, size: int, make: FillBuffer) -> None:
        if not self._begun:  # the preamble is no run
            self._begun = True
            await self._inner.write(size, make)
            return

        def watched(room: memoryview) -> None:
            make(room)
            self._stages.passes("write")

        await self._inner.write(size, watched)


class WatchedScanner(MemoryScanner):
    """Its scan is watched; it is itself the only one."""

    def __init__(self, stages: Stages) -> None:
        super().__init__("marker")
        self._stages = stages
        self.scanned = sha256()

    def open(self) -> Any:
        return self

    async def feed(self, chunk: Buffer) -> None:
        self.scanned.update(chunk)
        await asyncio.to_thread(self._stages.passes, "scan")

    async def finish(self) -> Verdict:
        return Verdict(ScanOutcome.CLEAN)

    async def abort(self) -> None:
        """Nothing was held."""


@pytest.fixture
def stages() -> Stages:
    return Stages()


@pytest.fixture
def scanner(stages: Stages) -> WatchedScanner:
    return WatchedScanner(stages)


@pytest.fixture
def box(keyring: Keyring, stages: Stages, scanner: WatchedScanner) -> Strongbox:
    return Strongbox(Stores([WatchedStore(stages)]), keyring, [scanner], LAYOUT)


async def arriving(whole: bytes = WHOLE, size: int = 30_000) -> AsyncIterator[bytes]:
    for at in range(0, len(whole), size):
        yield whole[at : at + size]


async def sealed(box: Strongbox, chunks: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(BOUND_SECONDS):
        return (await seal(box, chunks))[1].sha256


@contextmanager
def nothing_goes_unheard() -> Iterator[None]:
    """No exception of a task or future that nobody looked at, and none of a generator that was left open."""
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    try:
        yield
        gc.collect()
    finally:
        loop.set_exception_handler(None)
    assert told == []


async def test_every_run_passes_every_stage_once_and_in_order(
    box: Strongbox, stages: Stages, scanner: WatchedScanner
) -> None:
    assert await sealed(box, arriving()) == scanner.scanned.digest() == sha256(WHOLE).digest()
    assert stages.seen == {"scan": RUNS, "write": RUNS}


@pytest.mark.parametrize("number", [0, RUNS // 2, RUNS - 1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("error", [Broken, StorageFull, ZeroDivisionError])
@pytest.mark.parametrize("stage", ["scan", "write"])
async def test_a_stage_that_fails_ends_the_upload_and_leaves_nothing(
    box: Strongbox, stages: Stages, stage: str, error: type[Exception], number: int
) -> None:
    stages.breaks[stage] = number, error()
    with nothing_goes_unheard():
        with pytest.raises(error):
            await sealed(box, arriving())
        await tasks.drain()
    assert stages.working == 0
    assert await holds_nothing(box.stores.first)


async def test_two_stages_that_fail_at_once_are_one_error(box: Strongbox, stages: Stages) -> None:
    stages.breaks = {"scan": (1, ScannerAway()), "write": (1, StoreAway())}
    with nothing_goes_unheard():
        with pytest.raises((ScannerAway, StoreAway)):
            await sealed(box, arriving())
        await tasks.drain()
    assert await holds_nothing(box.stores.first)


@pytest.mark.parametrize("cancels", [1, 2, 3])
@pytest.mark.parametrize("held", ["scan", "write"])
async def test_a_cancelled_upload_leaves_no_thread_and_no_exception_behind(
    box: Strongbox, stages: Stages, held: str, cancels: int
) -> None:
    stages.held, stages.breaks = held, {held: (0, Broken())}
    with nothing_goes_unheard():
        await cancelled(box, stages, cancels)
        await tasks.drain()
        await asyncio.get_running_loop().shutdown_default_executor()
    assert stages.working == 0
    assert await holds_nothing(box.stores.first)


async def cancelled(box: Strongbox, stages: Stages, times: int) -> None:
    """An upload that is cancelled so often while a stage is at work on its first run."""
    sealing = asyncio.ensure_future(sealed(box, arriving()))
    await asyncio.to_thread(stages.entered.wait, BOUND_SECONDS)
    for _ in range(times):
        sealing.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    stages.gate.set()
    (ended,) = await asyncio.gather(sealing, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError)


async def test_a_cancelled_upload_ends_after_its_threads(box: Strongbox, stages: Stages) -> None:
    stages.held = "write"
    sealing = asyncio.ensure_future(sealed(box, arriving()))
    await asyncio.to_thread(stages.entered.wait, BOUND_SECONDS)
    sealing.cancel()
    for _ in range(50):
        await asyncio.sleep(0)
    assert not sealing.done()
    stages.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await sealing
    assert stages.working == 0


@pytest.mark.parametrize("stage", ["scan", "write"])
async def test_what_failed_is_noticed_before_the_next_run_is_full(box: Strongbox, stages: Stages, stage: str) -> None:
    stages.breaks[stage], given = (0, Broken()), 0

    async def slow() -> AsyncIterator[bytes]:
        nonlocal given
        yield recipe(FIRST + 1)
        while True:
            await asyncio.to_thread(int)  # a client whose bytes come one by one
            given += 1
            yield b"x"

    with pytest.raises(Broken):
        await sealed(box, slow())
    assert given < LATER - 1


@pytest.mark.parametrize("held", ["scan", "write"])
async def test_the_next_run_is_filled_while_one_is_on_the_line_and_no_further(
    box: Strongbox, stages: Stages, held: str
) -> None:
    stages.held = held
    async with box.sealing(context(), "none", limit=NO_LIMIT) as sealing:
        await sealing.write(WHOLE[: FIRST + 1])
        await sealing.write(WHOLE[FIRST + 1 : FIRST + LATER])
        beyond = asyncio.ensure_future(sealing.write(WHOLE[FIRST + LATER :]))
        await asyncio.to_thread(stages.entered.wait, BOUND_SECONDS)
        for _ in range(50):
            await asyncio.sleep(0)
        assert not beyond.done()
        stages.gate.set()
        await beyond
        assert (await sealing.finish()).sha256 == sha256(WHOLE).digest()


@pytest.mark.parametrize("length", [0, 1, 1 << 16, (1 << 16) + 1, FIRST - 1, FIRST, FIRST + 1, FIRST + LATER])
async def test_runs_of_any_size_pass(box: Strongbox, scanner: WatchedScanner, length: int) -> None:
    digest = sha256(recipe(length)).digest()
    assert await sealed(box, arriving(recipe(length))) == scanner.scanned.digest() == digest
