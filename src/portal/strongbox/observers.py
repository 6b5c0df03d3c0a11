"""Observers of the one pass over the plaintext: its digest, its type, its scans.

Comes in: every chunk, in order. Leaves: `Findings`. The digest and the type are CPU-bound: they run in a thread beside
the one that seals. Scans run on the event loop, and each call of a scanner that may wait has a time limit.
"""

import contextlib
import hashlib
from collections.abc import Sequence

from portal.backends.scanners.base import (
    FEED_SECONDS,
    VERDICT_SECONDS,
    Scan,
    Scanner,
    ScannerAway,
    ScanOutcome,
    Verdict,
    worst,
)
from portal.core.buffer import Buffer
from portal.core.tasks import in_time
from portal.strongbox.model import Findings
from portal.strongbox.sniff import Sniffer


class Observers:
    """All observers of one upload. `begin` comes first; either `finish` or `abort` ends them.

    If a scanner is unavailable and a scan is required, the upload ends. If none is required, that scanner is left out,
    its verdict is SCANNER_AWAY, and the findings say `away` even if the verdict of another scanner is worse.
    """

    def __init__(self, scanners: Sequence[Scanner], *, scan_required: bool = True) -> None:
        self._digest = hashlib.sha256()
        self._sniffer = Sniffer()
        self._type = ""
        self._scanners = scanners
        self._scans: list[Scan] = []
        self._scan_required = scan_required
        self._verdicts: list[Verdict] = []
        self._left_out = False
        self._size = 0

    def begin(self) -> None:
        """Open the scans. If a scanner raises, `abort` ends those that are open by then."""
        for scanner in self._scanners:
            self._scans.append(_TimedScan(scanner.open()) if scanner.waits else scanner.open())

    def feed(self, chunk: Buffer, *, last: bool) -> None:
        """Update the digest and the type. Any thread may call it, one at a time."""
        self._size += len(chunk)
        self._digest.update(chunk)
        self._sniffer.feed(chunk)
        if last:
            self._type = self._sniffer.finish()

    async def scan(self, chunk: Buffer) -> None:
        """Pass the chunk to every scanner. Raises ScannerAway if a scan is required."""
        for scan in tuple(self._scans):
            try:
                await scan.feed(chunk)
            except ScannerAway as away:
                await self._leave_out(scan, away)

    async def finish(self) -> Findings:
        """The findings, after the last chunk. Raises ScannerAway if a scan is required."""
        for scan in tuple(self._scans):
            try:
                self._verdicts.append(await scan.finish())
            except ScannerAway as away:
                await self._leave_out(scan, away)
            else:
                self._scans.remove(scan)
        verdict = worst(self._verdicts)
        return Findings(self._size, self._digest.digest(), self._type, verdict, away=self._left_out)

    async def abort(self) -> None:
        """End every scan that still runs. Idempotent; does nothing after `finish`. Drops ScannerAway."""
        while self._scans:
            await _forget(self._scans.pop())

    async def _leave_out(self, scan: Scan, away: ScannerAway) -> None:
        if self._scan_required:
            raise away
        self._scans.remove(scan)
        self._left_out = True
        self._verdicts.append(Verdict(ScanOutcome.SCANNER_AWAY))
        await _forget(scan)


async def _forget(scan: Scan) -> None:
    with contextlib.suppress(ScannerAway):
        await scan.abort()


class _TimedScan:
    """A scan whose calls have a time limit: one that takes longer is cancelled, and raises ScannerAway."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan

    async def feed(self, chunk: Buffer) -> None:
        await in_time(self._scan.feed(chunk), FEED_SECONDS, ScannerAway)

    async def finish(self) -> Verdict:
        return await in_time(self._scan.finish(), VERDICT_SECONDS, ScannerAway)

    async def abort(self) -> None:
        await in_time(self._scan.abort(), FEED_SECONDS, ScannerAway)
