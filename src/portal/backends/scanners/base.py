"""The port of scanners. Next: `strongbox` feeds a scan in the pass that seals; `features/files` acts on verdicts."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from portal.core.buffer import Buffer
from portal.core.errors import Unavailable


class ScannerAway(Unavailable):
    """The scanner did not answer. Nothing becomes clean by a scanner's absence."""

    code, title = "scanner_away", "The scanner is away; try again."


class Outcome(StrEnum):
    """What a scan found, the worst last."""

    CLEAN = "clean"  # every byte was scanned
    NOT_SCANNED = "not_scanned"  # no scanner is configured
    UNSCANNABLE = "unscannable"  # encrypted, over a limit, broken off, or the scanner failed
    INFECTED = "infected"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome; `detail` names what was found, at most 200 characters, never file content."""

    outcome: Outcome
    detail: str = ""


class Scan(Protocol):
    """One file being scanned. Exactly one of `finish` and `abort` ends it."""

    async def feed(self, chunk: Buffer) -> None:
        """The next bytes. Never raises: a scanner that failed says so in its verdict."""

    async def finish(self) -> Verdict:
        """The verdict on exactly the bytes fed. Never raises: what could not be scanned whole is UNSCANNABLE."""

    async def abort(self) -> None:
        """Forget the scan. Never raises; idempotent."""


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
    """Several scanners' verdicts as one: the worst outcome stands."""
    order = list(Outcome)
    return max(verdicts, key=lambda verdict: order.index(verdict.outcome))
