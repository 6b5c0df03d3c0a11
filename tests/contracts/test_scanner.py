"""What every scanner promises: a verdict, or that it is away. A new scanner is one line in SCANNERS."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.backends.scanners.base import Scanner, ScannerAway, ScanOutcome, Verdict, worst
from portal.backends.scanners.memory import MemoryScanner
from portal.backends.scanners.none import NoScanner
from portal.backends.scanners.registry import open_scanners
from portal.core.errors import ConfigError

MARKER = "this is not a virus"
SCANNERS: dict[str, Callable[[], Scanner]] = {
    "memory": lambda: MemoryScanner(MARKER),
    "none": NoScanner,
}
CHUNKS = [b"", b"x", b"", bytes(70_000), MARKER.encode()[:9], MARKER.encode()[9:], b"\xff" * 3]


@pytest.fixture(params=SCANNERS.values(), ids=list(SCANNERS))
async def scanner(request: pytest.FixtureRequest) -> AsyncIterator[Scanner]:
    made: Scanner = request.param()
    await made.check()
    yield made
    await made.aclose()


async def scanned(scanner: Scanner, *chunks: bytes) -> Verdict:
    scan = scanner.open()
    for chunk in chunks:
        await scan.feed(chunk)
    return await scan.finish()


@pytest.mark.parametrize("chunks", [[], [b""], [b"harmless"], CHUNKS], ids=["nothing", "empty", "text", "many"])
async def test_every_scan_ends_in_a_verdict(scanner: Scanner, chunks: list[bytes]) -> None:
    verdict = await scanned(scanner, *chunks)
    assert isinstance(verdict.outcome, ScanOutcome)
    assert verdict.outcome is not ScanOutcome.SCANNER_AWAY  # a scanner raises it
    assert len(verdict.detail) <= 200


async def test_a_verdict_holds_no_content(scanner: Scanner) -> None:
    verdict = await scanned(scanner, b"canary " + MARKER.encode() + b" canary")
    assert "canary" not in verdict.detail
    assert MARKER not in verdict.detail


async def test_the_same_bytes_get_the_same_verdict_however_they_are_cut(scanner: Scanner) -> None:
    whole = b"".join(CHUNKS)
    assert await scanned(scanner, whole) == await scanned(scanner, *CHUNKS)
    assert await scanned(scanner, whole) == await scanned(
        scanner, *(whole[at : at + 7] for at in range(0, len(whole), 7))
    )


async def test_scans_at_once_do_not_mix(scanner: Scanner) -> None:
    alone = [await scanned(scanner, b"harmless"), await scanned(scanner, MARKER.encode())]
    one, two = scanner.open(), scanner.open()
    for at in range(len(MARKER)):
        await one.feed(b"harmless"[at : at + 1])
        await two.feed(MARKER.encode()[at : at + 1])
    assert [await one.finish(), await two.finish()] == alone


async def test_abort_is_idempotent_and_leaves_other_scans_alone(scanner: Scanner) -> None:
    expected = await scanned(scanner, *CHUNKS)
    left, right = scanner.open(), scanner.open()
    await left.feed(MARKER.encode())
    await right.feed(b"".join(CHUNKS))
    await left.abort()
    await left.abort()
    assert await right.finish() == expected
    assert await scanned(scanner, *CHUNKS) == expected


async def test_a_scan_that_is_cut_off_can_be_aborted_and_leaves_other_scans_alone(scanner: Scanner) -> None:
    """As one is that does not answer in time: the call is cancelled, `abort` follows."""
    expected = await scanned(scanner, *CHUNKS)
    cut_off, other = scanner.open(), scanner.open()
    await other.feed(b"".join(CHUNKS))
    for call in (cut_off.feed(MARKER.encode()), cut_off.finish()):
        with contextlib.suppress(asyncio.CancelledError, ScannerAway):
            task = asyncio.ensure_future(call)
            task.cancel()
            await task
    await cut_off.abort()
    assert await other.finish() == expected


def test_without_a_verdict_nothing_was_scanned() -> None:
    assert worst([]) == Verdict(ScanOutcome.NOT_SCANNED)


async def test_abort_before_the_first_byte_and_after_the_verdict_is_harmless(scanner: Scanner) -> None:
    await scanner.open().abort()
    scan = scanner.open()
    await scan.finish()
    await scan.abort()


async def test_a_warning_is_one_line_or_none(scanner: Scanner) -> None:
    warning = scanner.warning
    assert warning is None or ("\n" not in warning and warning)


def test_a_scanner_that_never_waits_ends_each_call_at_once(scanner: Scanner) -> None:
    scan, other = scanner.open(), scanner.open()
    for call in (scan.feed(MARKER.encode()), scan.finish(), other.abort()):
        if scanner.waits:
            call.close()
        else:
            with pytest.raises(StopIteration):
                call.send(None)


async def test_closing_twice_is_fine(scanner: Scanner) -> None:
    await scanner.aclose()
    await scanner.aclose()


@given(st.lists(st.binary(max_size=50), max_size=5))
async def test_no_scanner_never_says_clean(chunks: list[bytes]) -> None:
    assert await scanned(NoScanner(), *chunks) == Verdict(ScanOutcome.NOT_SCANNED)


def test_what_is_no_real_scanner_says_so_at_every_start() -> None:
    assert "not_scanned" in NoScanner().warning
    assert "tests" in MemoryScanner("x").warning


@given(
    before=st.binary(max_size=40),
    marker=st.text(min_size=1, max_size=12),
    after=st.binary(max_size=40),
    cuts=st.lists(st.integers(0, 100), max_size=8),
)
async def test_a_marker_is_found_wherever_it_is_cut(before: bytes, marker: str, after: bytes, cuts: list[int]) -> None:
    whole = before + marker.encode() + after
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    chunks = [whole[start:end] for start, end in pairwise(edges)]
    assert await scanned(MemoryScanner(marker), *chunks) == Verdict(ScanOutcome.INFECTED, "marker")


@given(
    st.lists(st.text("ab", max_size=4).map(str.encode), max_size=12),
    st.text("ab", min_size=1, max_size=4),
)
async def test_clean_means_that_the_marker_is_not_there(chunks: list[bytes], marker: str) -> None:
    verdict = await scanned(MemoryScanner(marker), *chunks)
    infected = marker.encode() in b"".join(chunks)
    assert verdict.outcome is (ScanOutcome.INFECTED if infected else ScanOutcome.CLEAN)


ORDER = [
    ScanOutcome.CLEAN,
    ScanOutcome.NOT_SCANNED,
    ScanOutcome.SCANNER_AWAY,
    ScanOutcome.UNSCANNABLE,
    ScanOutcome.INFECTED,
]


def test_the_outcomes_and_their_order() -> None:
    assert list(ScanOutcome) == ORDER
    assert [outcome.value for outcome in ORDER] == ["clean", "not_scanned", "scanner_away", "unscannable", "infected"]


@pytest.mark.parametrize("outcomes", [subset for size in (1, 2, 3) for subset in permutations(ORDER, size)])
def test_the_worst_verdict_stands(outcomes: tuple[ScanOutcome, ...]) -> None:
    verdicts = [Verdict(outcome, f"by {outcome}") for outcome in outcomes]
    stands = max(outcomes, key=ORDER.index)
    assert worst(verdicts) == Verdict(stands, f"by {stands}")


async def test_the_registry_opens_scanners_in_order() -> None:
    none, memory = open_scanners(["none:", "memory:a:b"], {})
    assert isinstance(none, NoScanner)
    assert (await scanned(memory, b"a:b")).outcome is ScanOutcome.INFECTED
    assert (await scanned(memory, b"a b")).outcome is ScanOutcome.CLEAN


@pytest.mark.parametrize("url", ["", "clamav:", "NONE:", "memory:", "memory", "clamd://host"])
def test_a_url_that_names_no_scanner_stops_the_start(url: str) -> None:
    with pytest.raises(ConfigError, match="PORTAL_SCANNER_URLS"):
        open_scanners(["none:", url], {})


def test_leaving_out_the_scanner_must_be_said() -> None:
    with pytest.raises(ConfigError, match="write none:"):
        open_scanners([], {})
