"""The line: three stages side by side, and whatever one of them meets ends the upload, soon and for good."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest

from portal.backends.blobs.base import BlobWriter, FillBuffer, StoreAway
from portal.backends.blobs.memory import MemoryStore
from portal.backends.scanners.base import Outcome, Scanner, ScannerAway, Verdict
from portal.backends.scanners.memory import MemoryScanner
from portal.core import tasks
from portal.core.buffer import Buffer
from portal.core.errors import PortalError, StorageFull
from portal.crypto.blob import BlobSealer
from portal.crypto.layout import PRODUCTION, Layout
from portal.crypto.stream import SegmentCutter
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox import pipeline as line_module
from portal.strongbox.observers import Observers
from portal.strongbox.pipeline import SealPipeline
from portal.strongbox.strongbox import Strongbox

from .sealing import LAYOUT, NO_LIMIT, agree, holds_nothing, place, recipe

RUN = 440  # bytes of the first run; each later one has 480
WHOLE = recipe(RUN + 480 * 4 + 100)
RUNS = 6
KEY = bytes(32)
BOUND_SECONDS = 20


class Broken(PortalError):
    """What a stage dies of."""


class Stages:
    """Counts the runs that come to each stage, and breaks the one that is named, at the run that is named.

    The stage that is named `held` says that it was `entered`, and waits until its `gate` is opened.
    """

    def __init__(self) -> None:
        self.seen: dict[str, int] = {"digest": 0, "scan": 0, "seal": 0, "write": 0}
        self.breaks: tuple[str, int] | None = None
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
        if self.breaks == (stage, number):
            raise Broken(stage)


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
        if self._begun:  # the preamble is no run
            await asyncio.to_thread(self._stages.passes, "write")
        self._begun = True
        await self._inner.write(size, make)


class WatchedScanner(MemoryScanner):
    """Its scans are watched; it is itself each of them."""

    def __init__(self, stages: Stages) -> None:
        super().__init__("marker")
        self._stages = stages

    def open(self) -> Any:
        return self

    async def feed(self, _: Buffer) -> None:
        await asyncio.to_thread(self._stages.passes, "scan")

    async def finish(self) -> Verdict:
        return Verdict(Outcome.CLEAN)

    async def abort(self) -> None:
        """Nothing was held."""


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    """Every run goes to threads, however small; digest and seal are watched."""
    made = Stages()
    monkeypatch.setattr(line_module, "_INLINE", 0)
    watch(monkeypatch, Observers, "feed", made, "digest")
    watch(monkeypatch, BlobSealer, "seal_into", made, "seal")
    return made


def watch(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, stages: Stages, stage: str) -> None:
    really: Callable[..., Any] = getattr(owner, name)

    def watched(*arguments: Any, **named: Any) -> Any:
        stages.passes(stage)
        return really(*arguments, **named)

    monkeypatch.setattr(owner, name, watched)


@pytest.fixture
def watched_box(keyring: Keyring, stages: Stages) -> Strongbox:
    scanner: Scanner = WatchedScanner(stages)
    return Strongbox(Stores([WatchedStore(stages)]), keyring, [scanner], LAYOUT)


async def arriving(whole: bytes = WHOLE, size: int = 90) -> AsyncIterator[bytes]:
    for at in range(0, len(whole), size):
        yield whole[at : at + size]


async def seal(box: Strongbox, chunks: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(BOUND_SECONDS):
        _, findings = await box.seal(place(), "none", chunks, limit=NO_LIMIT, approve=agree)
    return findings.sha256


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


async def test_every_run_passes_every_stage(watched_box: Strongbox, stages: Stages) -> None:
    assert await seal(watched_box, arriving()) == sha256(WHOLE).digest()
    assert stages.seen == {"digest": RUNS, "scan": RUNS, "seal": RUNS, "write": RUNS}


@pytest.mark.parametrize("number", [0, RUNS // 2, RUNS - 1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("stage", ["digest", "scan", "seal", "write"])
async def test_a_stage_that_dies_ends_the_upload_and_leaves_nothing(
    watched_box: Strongbox, stages: Stages, stage: str, number: int
) -> None:
    stages.breaks = (stage, number)
    with nothing_goes_unheard():
        with pytest.raises(Broken, match=stage):
            await seal(watched_box, arriving())
        await tasks.drain()
    assert stages.working == 0
    assert await holds_nothing(watched_box.stores.first)


async def test_two_stages_that_die_at_once_are_one_error(watched_box: Strongbox, stages: Stages) -> None:
    stages.breaks = ("digest", 1)

    async def away(*_: object) -> None:
        raise ScannerAway

    with pytest.MonkeyPatch.context() as patch, nothing_goes_unheard():
        patch.setattr(WatchedScanner, "feed", away)
        with pytest.raises(ScannerAway):
            await seal(watched_box, arriving())
        await tasks.drain()
    assert await holds_nothing(watched_box.stores.first)


@pytest.mark.parametrize("cancels", [1, 2, 3])
@pytest.mark.parametrize("held", ["digest", "seal"])
async def test_a_cancelled_upload_leaves_no_thread_and_no_exception_behind(
    watched_box: Strongbox, stages: Stages, held: str, cancels: int
) -> None:
    stages.held, stages.breaks = held, (held, 0)
    with nothing_goes_unheard():
        await cancelled(watched_box, stages, cancels)
        await tasks.drain()
        await asyncio.get_running_loop().shutdown_default_executor()
    assert stages.working == 0
    assert await holds_nothing(watched_box.stores.first)


async def cancelled(box: Strongbox, stages: Stages, times: int) -> None:
    """An upload that is cancelled so often while a stage is at work on its first run."""
    sealing = asyncio.ensure_future(seal(box, arriving()))
    await asyncio.to_thread(stages.entered.wait, BOUND_SECONDS)
    for _ in range(times):
        sealing.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    stages.gate.set()
    (ended,) = await asyncio.gather(sealing, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError)


async def test_a_cancelled_upload_ends_after_its_threads(watched_box: Strongbox, stages: Stages) -> None:
    stages.held = "digest"
    sealing = asyncio.ensure_future(seal(watched_box, arriving()))
    await asyncio.to_thread(stages.entered.wait, BOUND_SECONDS)
    sealing.cancel()
    for _ in range(50):
        await asyncio.sleep(0)
    assert not sealing.done()
    stages.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await sealing
    assert stages.working == 0


async def test_a_write_that_failed_is_noticed_before_the_next_run_is_full(
    watched_box: Strongbox, stages: Stages
) -> None:
    stages.breaks, given = ("write", 0), 0

    async def slow() -> AsyncIterator[bytes]:
        nonlocal given
        yield recipe(RUN + 1)
        async with asyncio.timeout(BOUND_SECONDS):
            while True:
                await asyncio.to_thread(int)  # a client whose bytes come one by one
                given += 1
                yield b"x"

    with pytest.raises(Broken, match="write"):
        await seal(watched_box, slow())
    assert given < 479


async def test_the_next_run_is_filled_while_one_is_on_the_line(watched_box: Strongbox, stages: Stages) -> None:
    stages.held, filled, full = "digest", 0, asyncio.Event()

    async def counted() -> AsyncIterator[bytes]:
        nonlocal filled
        async for chunk in arriving(size=40):
            filled += len(chunk)
            if filled > RUN + 480:
                full.set()
            yield chunk

    sealing = asyncio.ensure_future(seal(watched_box, counted()))
    await full.wait()
    for _ in range(50):
        await asyncio.sleep(0)
    assert filled <= RUN + 480 + 40
    stages.gate.set()
    assert await sealing == sha256(WHOLE).digest()


@pytest.mark.parametrize("full", [StorageFull, StoreAway])
async def test_check_raises_what_is_known_and_nothing_before(full: type[PortalError]) -> None:
    class Waiting:
        def __init__(self) -> None:
            self.goes_on = asyncio.Event()

        async def write(self, _: int, __: FillBuffer) -> None:
            await self.goes_on.wait()
            raise full

    writer: Any = Waiting()
    sealer = BlobSealer(place(), KEY, PRODUCTION)
    with nothing_goes_unheard():
        async with SealPipeline(sealer, Observers([]), writer) as line:
            cutter = SegmentCutter(PRODUCTION, 1)
            await line.take(next(cutter.feed(bytes(PRODUCTION.segment * 2))))
            line.check()
            writer.goes_on.set()
            await asyncio.wait(line._busy)
            with pytest.raises(full):
                line.check()


@pytest.mark.parametrize("length", [0, 1, 199, 440, 441, 920, 921])
async def test_small_runs_pass_where_they_stand(keyring: Keyring, length: int) -> None:
    box = Strongbox(Stores([MemoryStore()]), keyring, [MemoryScanner("marker")], Layout(256))
    assert await seal(box, arriving(recipe(length))) == sha256(recipe(length)).digest()
