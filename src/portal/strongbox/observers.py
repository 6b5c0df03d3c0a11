"""Observers of the one pass over the plaintext: its digest, its type, its scan.

Comes in: every chunk, in order. Leaves: `Findings`. CPU-bound observers run in the sealing thread's neighbour, scans on
the event loop.
"""

import hashlib
from collections.abc import Sequence

from portal.backends.scanners.base import Scanner, worst
from portal.core.buffer import Buffer
from portal.strongbox.model import Findings
from portal.strongbox.sniff import Sniffer


class Observers:
    """Everything that watches one upload. Either `finish` or `abort` ends it."""

    def __init__(self, scanners: Sequence[Scanner]) -> None:
        self._digest = hashlib.sha256()
        self._sniffer = Sniffer()
        self._type = ""
        self._scans = [scanner.open() for scanner in scanners]
        self._size = 0

    def feed(self, chunk: Buffer, *, last: bool) -> None:
        """Digest and type; for any one thread at a time."""
        self._size += len(chunk)
        self._digest.update(chunk)
        self._sniffer.feed(chunk)
        if last:
            self._type = self._sniffer.finish()

    async def scan(self, chunk: Buffer) -> None:
        for scan in self._scans:
            await scan.feed(chunk)

    async def finish(self) -> Findings:
        """After the last chunk."""
        scans, self._scans = self._scans, []
        verdict = worst([await scan.finish() for scan in scans])
        return Findings(self._size, self._digest.digest(), self._type, verdict)

    async def abort(self) -> None:
        """Idempotent; does nothing after `finish`."""
        for scan in self._scans:
            await scan.abort()
