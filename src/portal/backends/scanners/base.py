"""The port of scanners. Next: `strongbox` feeds a scan in the pass that seals; `features/files` acts on verdicts.

A scan has three ends. A **verdict** on every byte. **Unscannable**, a verdict too: the scanner works, and this file
cannot be scanned whole (encrypted, over its limits); another try ends the same. **Away**, `ScannerAway`: the scanner
did not answer, or not in time; a later try may pass. What away means for an upload is `PORTAL_SCANNER_AWAY`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from portal.core.buffer import Buffer
from portal.core.errors import Unavailable

FEED_SECONDS = 30.0  # a call of `feed` or `abort` that takes longer is ended: the scanner is away
VERDICT_SECONDS = 300.0  # the same of `finish`: some scanners begin only when they have all of it


class ScannerAway(Unavailable):
    """The scanner did not answer, or not in time. Nothing becomes clean by a scanner's absence."""

    code, title = "scanner_away", "The scanner is away; try again."


class Outcome(StrEnum):
    """What a scan found, the worst last."""

    CLEAN = "clean"  # every byte was scanned
    NOT_SCANNED = "not_scanned"  # no scanner is configured
    SCANNER_AWAY = "scanner_away"  # said by the strongbox, never by a scanner, which raises ScannerAway
    UNSCANNABLE = "unscannable"  # encrypted, over a limit: the scanner cannot scan the whole of it
    INFECTED = "infected"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome; `detail` names what was found, at most 200 characters, never file content."""

    outcome: Outcome
    detail: str = ""


class Scan(Protocol):
    """One file being scanned. `finish` or `abort` ends it; `abort` also follows a call that raised or was cancelled."""

    async def feed(self, chunk: Buffer) -> None:
        """The next bytes, which are good until this returns. Cancelled after FEED_SECONDS. Raises ScannerAway alone:
        what the scanner cannot scan is in its verdict.
        """

    async def finish(self) -> Verdict:
        """The verdict on exactly the bytes fed; UNSCANNABLE where they could not be scanned whole.

        Cancelled after VERDICT_SECONDS. Raises ScannerAway alone.
        """

    async def abort(self) -> None:
        """Forget the scan. Cancelled after FEED_SECONDS. Never raises; idempotent; harmless after `finish`."""


class Scanner(Protocol):
    """Something that judges files. Safe for concurrent use."""

    @property
    def warning(self) -> str | None:
        """What an operator must hear at every start, if anything."""

    def open(self) -> Scan:
        """Begin a scan. Costs nothing until it is fed."""

    async def check(self) -> None:
        """Raises ScannerAway unless the scanner could scan now."""

    async def aclose(self) -> None:
        """Let go of connections. Idempotent."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Several scanners' verdicts as one: the worst outcome stands; without any, nothing was scanned."""
    order = list(Outcome)
    return max(verdicts, key=lambda verdict: order.index(verdict.outcome), default=Verdict(Outcome.NOT_SCANNED))
