"""Observers of the one pass over the plaintext: its digest, its type, its scan.

Comes in: every chunk, in order. Leaves: `Findings`. CPU-bound observers run in the sealing thread's neighbour, scans on
the event loop, each call to a scanner in bounded time.
"""

import contextlib
import hashlib
from collections.abc import Sequence

from portal.backends.scanners.base import (
    FEED_SECONDS,
    VERDICT_SECONDS,
    Outcome,
    Scan,
    Scanner,
    ScannerAway,
    Verdict,
    worst,
)
from portal.core.buffer import Buffer
from portal.core.tasks import in_time
from portal.strongbox.model import Findings
from portal.strongbox.sniff import Sniffer


class Observers:
    """Everything that watches one upload. Either `finish` or `abort` ends it.

    A scanner that is away ends the upload where a scan is required; else it is left out, and the verdict says so.
    """

    def __init__(self, scanners: Sequence[Scanner], *, scan_required: bool = True) -> None:
        self._digest = hashlib.sha256()
        self._sniffer = Sniffer()
        self._type = ""
        self._scans = [scanner.open() for scanner in scanners]
        self._scan_required = scan_required
        self._verdicts: list[Verdict] = []
        self._size = 0

    def feed(self, chunk: Buffer, *, last: bool) -> None:
        """Digest and type; for any one thread at a time."""
        self._size += len(chunk)
        self._digest.update(chunk)
        self._sniffer.feed(chunk)
        if last:
            self._type = self._sniffer.finish()

    async def scan(self, chunk: Buffer) -> None:
        """Raises ScannerAway where a scan is required."""
        for scan in tuple(self._scans):
            try:
                await in_time(scan.feed(chunk), FEED_SECONDS, ScannerAway)
            except ScannerAway as away:
                await self._leave_out(scan, away)

    async def finish(self) -> Findings:
        """After the last chunk. Raises ScannerAway where a scan is required."""
        for scan in tuple(self._scans):
            try:
                self._verdicts.append(await in_time(scan.finish(), VERDICT_SECONDS, ScannerAway))
            except ScannerAway as away:
                await self._leave_out(scan, away)
            else:
                self._scans.remove(scan)
        return Findings(self._size, self._digest.digest(), self._type, worst(self._verdicts))

    async def abort(self) -> None:
        """Idempotent; does nothing after `finish`."""
        while self._scans:
            await _forget(self._scans.pop())

    async def _leave_out(self, scan: Scan, away: ScannerAway) -> None:
        if self._scan_required:
            raise away
        self._scans.remove(scan)
        self._verdicts.append(Verdict(Outcome.SCANNER_AWAY))
        await _forget(scan)


async def _forget(scan: Scan) -> None:
    with contextlib.suppress(ScannerAway):
        await in_time(scan.abort(), FEED_SECONDS, ScannerAway)
