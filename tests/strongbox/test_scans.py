"""Scans in a sealing: each sees every byte once, ends once, and answers in time or is away."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

import pytest

from portal.backends.blobs.memory import MemoryStore
from portal.backends.scanners.base import ScannerAway, ScanOutcome, Verdict
from portal.backends.scanners.memory import MemoryScanner
from portal.core.buffer import Buffer
from portal.crypto.layout import PRODUCTION
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox import observers
from portal.strongbox.model import Findings
from portal.strongbox.strongbox import Strongbox

from .sealing import NO_LIMIT, context, holds_nothing, recipe

INLINE = pytest.mark.parametrize("inline", [False, True], ids=["in a store", "inline"])
CALLS = ["feed", "finish"]


class Listener:
    """A scanner, and its only scan, that writes down what it hears. A call that is named fails, or never answers."""

    warning = None
    waits = True

    def __init__(self, *, away: str = "", silent: str = "", error: Callable[[], Exception] = ScannerAway) -> None:
        self.heard: list[str] = []
        self._away, self._silent, self._error = away, silent, error

    def open(self) -> "Listener":
        self.heard.append("open")
        return self

    async def feed(self, chunk: Buffer) -> None:
        await self._hear("feed", f"feed {len(chunk)}")

    async def finish(self) -> Verdict:
        await self._hear("finish", "finish")
        return Verdict(ScanOutcome.CLEAN)

    async def abort(self) -> None:
        await self._hear("abort", "abort")

    async def check(self) -> None:
        """Always there."""

    async def aclose(self) -> None:
        """Nothing to let go of."""

    async def _hear(self, call: str, words: str) -> None:
        self.heard.append(words)
        if call == self._silent:
            await asyncio.Event().wait()
        if call == self._away:
            raise self._error()


async def scanned(
    box: Strongbox, *scanners: Listener | MemoryScanner, content: bytes = b"", inline: bool, scan_required: bool = True
) -> Findings:
    """What is found while so much is sealed, which is committed then."""
    async with box.sealing(
        context(), "none", limit=NO_LIMIT, inline=inline, scanners=scanners, scan_required=scan_required
    ) as sealing:
        await sealing.write(content or recipe(447))
        findings = await sealing.finish()
        await sealing.commit()
    return findings


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "FEED_SECONDS", 0.01)
    monkeypatch.setattr(observers, "VERDICT_SECONDS", 0.01)


async def test_a_scan_sees_every_byte_once_and_ends_before_the_commit(memory_box: Strongbox) -> None:
    listener = Listener()
    async with memory_box.sealing(context(), "none", limit=NO_LIMIT, scanners=[listener]) as sealing:
        await sealing.write(recipe(300))
        await sealing.write(recipe(147))
        await sealing.finish()
        assert listener.heard == ["open", "feed 440", "feed 7", "finish"]
        await sealing.commit()
    assert listener.heard == ["open", "feed 440", "feed 7", "finish"]


@INLINE
async def test_a_scanner_that_cannot_begin_leaves_nothing_and_ends_the_scans_before_it(
    box: Strongbox, *, inline: bool
) -> None:
    class Broken(Listener):
        def open(self) -> NoReturn:
            raise ZeroDivisionError

    first, last = Listener(), Listener()
    with pytest.raises(ZeroDivisionError):
        await scanned(box, first, Broken(), last, inline=inline)
    assert (first.heard, last.heard) == (["open", "abort"], [])
    assert await holds_nothing(box.stores.first)


async def test_a_sealing_has_the_scanners_it_is_given_and_else_the_portals(memory_box: Strongbox) -> None:
    infected = MemoryScanner("marker")
    assert (await scanned(memory_box, infected, content=b"marker", inline=True)).verdict.outcome is ScanOutcome.INFECTED
    async with memory_box.sealing(context(), "none", limit=NO_LIMIT) as sealing:
        await sealing.write(b"marker")
        assert (await sealing.finish()).verdict.outcome is ScanOutcome.NOT_SCANNED


@INLINE
async def test_a_scan_of_an_upload_that_breaks_off_is_aborted(memory_box: Strongbox, *, inline: bool) -> None:
    listener = Listener()
    async with memory_box.sealing(context(), "none", limit=NO_LIMIT, inline=inline, scanners=[listener]) as sealing:
        await sealing.write(recipe(500))
    assert listener.heard == ["open", "feed 440", "abort"]


@INLINE
async def test_a_scan_that_gave_its_verdict_is_not_aborted_too(memory_box: Strongbox, *, inline: bool) -> None:
    listener = Listener()
    async with memory_box.sealing(context(), "none", limit=NO_LIMIT, inline=inline, scanners=[listener]) as sealing:
        await sealing.write(recipe(300))
        await sealing.finish()
    assert listener.heard == ["open", "feed 300", "finish"]


@INLINE
@pytest.mark.parametrize("call", CALLS)
async def test_a_scanner_that_is_away_ends_a_sealing_and_every_scan_and_leaves_nothing(
    memory_box: Strongbox, memory: MemoryStore, call: str, *, inline: bool
) -> None:
    others = Listener(), Listener()
    away = Listener(away=call)
    with pytest.raises(ScannerAway):
        await scanned(memory_box, others[0], away, others[1], inline=inline)
    assert away.heard[-1] == "abort"
    assert all(other.heard[-1] in {"finish", "abort"} for other in others)
    assert await holds_nothing(memory)


@INLINE
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.usefixtures("impatient")
async def test_a_scanner_that_does_not_answer_in_time_is_away(
    memory_box: Strongbox, memory: MemoryStore, call: str, *, inline: bool
) -> None:
    silent = Listener(silent=call)
    with pytest.raises(ScannerAway):
        await scanned(memory_box, silent, inline=inline)
    assert silent.heard[-1] == "abort"
    assert await holds_nothing(memory)


@pytest.mark.usefixtures("impatient")
async def test_a_scan_that_does_not_even_abort_holds_nothing_up(memory_box: Strongbox) -> None:
    async with memory_box.sealing(context(), "none", limit=NO_LIMIT, scanners=[Listener(silent="abort")]) as sealing:
        await sealing.write(recipe(500))


@pytest.mark.usefixtures("impatient")
async def test_a_scanner_that_is_silent_in_the_middle_of_a_large_file_is_away(keyring: Keyring) -> None:
    box = Strongbox(Stores([MemoryStore()]), keyring, [])
    with pytest.raises(ScannerAway):
        await scanned(box, Listener(silent="feed"), content=bytes(6 * PRODUCTION.segment), inline=False)
    assert await holds_nothing(box.stores.first)


@INLINE
@pytest.mark.parametrize("call", CALLS)
async def test_where_no_scan_is_required_the_rest_goes_on_and_the_verdict_says_so(
    memory_box: Strongbox, call: str, *, inline: bool
) -> None:
    away, other = Listener(away=call), Listener()
    findings = await scanned(memory_box, away, other, inline=inline, scan_required=False)
    assert findings.verdict.outcome is ScanOutcome.SCANNER_AWAY
    assert away.heard[-1] == "abort"
    assert other.heard == ["open", "feed 440", "feed 7", "finish"] if not inline else other.heard[-1] == "finish"


async def test_what_another_scanner_found_is_worse_than_one_that_is_away(memory_box: Strongbox) -> None:
    scanners = Listener(away="finish"), MemoryScanner("marker")
    findings = await scanned(memory_box, *scanners, content=b"marker", inline=True, scan_required=False)
    assert findings.verdict == Verdict(ScanOutcome.INFECTED, "marker")
    assert findings.away
    assert not (await scanned(memory_box, Listener(), inline=True)).away


@pytest.mark.parametrize("scan_required", [False, True])
@pytest.mark.parametrize("call", CALLS)
async def test_a_bug_in_a_scanner_is_nothing_that_a_verdict_could_say(
    memory_box: Strongbox, memory: MemoryStore, call: str, *, scan_required: bool
) -> None:
    broken = Listener(away=call, error=ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        await scanned(memory_box, broken, inline=False, scan_required=scan_required)
    assert await holds_nothing(memory)
