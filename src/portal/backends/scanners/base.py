"""The port of scanners. Next: `strongbox` feeds a scan in the pass that seals; `features/files` acts on verdicts.

A scan has three ends. A **verdict** on every byte. **Unscannable**, a verdict too: the scanner works, but this file
cannot be scanned whole (encrypted, over its limits); another try ends the same. **Unavailable**, `ScannerAway`: the
scanner did not answer, or not in time; a later try may pass. The setting `PORTAL_SCANNER_AWAY` says what an unavailable
scanner means for an upload.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from portal.core.buffer import Buffer
from portal.core.errors import Unavailable

FEED_SECONDS = 30.0  # a call of `feed` or `abort` that takes longer is cancelled: the scanner is unavailable
VERDICT_SECONDS = 300.0  # the same limit for `finish`: some scanners begin only when they have the whole file


class ScannerAway(Unavailable):
    """The scanner did not answer, or not in time. A file is never clean because a scanner is unavailable."""

    code, title = "scanner_away", "The scanner is unavailable; try again."


class ScanOutcome(StrEnum):
    """The outcome of a scan. The order is from best to worst."""

    CLEAN = "clean"  # every byte was scanned
    NOT_SCANNED = "not_scanned"  # no scanner is configured
    SCANNER_AWAY = "scanner_away"  # set by the strongbox only: a scanner raises ScannerAway instead
    UNSCANNABLE = "unscannable"  # encrypted, over a limit: the scanner cannot scan the whole of it
    INFECTED = "infected"


_RANKS = {outcome: rank for rank, outcome in enumerate(ScanOutcome)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome. `detail` names the finding, for example a signature: at most 200 characters, never file content."""

    outcome: ScanOutcome
    detail: str = ""


class Scan(Protocol):
    """The scan of one file. `finish` or `abort` ends it; `abort` also follows a call that raised or was cancelled."""

    async def feed(self, chunk: Buffer) -> None:
        """Scan the next bytes. The chunk's memory is valid only until this returns. Cancelled after FEED_SECONDS.

        Raises ScannerAway and nothing else: for content that the scanner cannot scan, `finish` returns UNSCANNABLE.
        """

    async def finish(self) -> Verdict:
        """The verdict on exactly the bytes fed; UNSCANNABLE if they could not be scanned whole.

        Cancelled after VERDICT_SECONDS. Raises ScannerAway and nothing else.
        """

    async def abort(self) -> None:
        """End the scan without a verdict. Cancelled after FEED_SECONDS.

        Never raises; idempotent; does nothing after `finish`.
        """


class Scanner(Protocol):
    """A scanner of files. Safe for concurrent use."""

    @property
    def warning(self) -> str | None:
        """A warning that is logged at every start; None if there is none."""

    @property
    def waits(self) -> bool:
        """False if no call of its scans ever waits: they have no time limit then, because a timer costs time too."""

    def open(self) -> Scan:
        """Begin a scan. It takes no resources before the first `feed`."""

    async def check(self) -> None:
        """Raises ScannerAway unless the scanner could scan now."""

    async def aclose(self) -> None:
        """Close connections. Idempotent."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several scanners' verdicts; NOT_SCANNED if there are none."""
    return max(verdicts, key=lambda verdict: _RANKS[verdict.outcome], default=Verdict(ScanOutcome.NOT_SCANNED))
