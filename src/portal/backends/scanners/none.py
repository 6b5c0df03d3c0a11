"""`none:`: no scanner. The verdict on every file is `not_scanned`, which is not clean. Every start logs a warning."""

from portal.backends.scanners.base import ScanOutcome, Verdict
from portal.core.buffer import Buffer


class NoScanner:
    """A `Scanner` that scans nothing."""

    warning = "no scanner is configured (PORTAL_SCANNER_URLS=none:): files are recorded as not_scanned"
    waits = False

    def open(self) -> "_NoScan":
        return _NoScan()

    async def check(self) -> None:
        """No-op: there is no scanner to check."""

    async def aclose(self) -> None:
        """No-op: there are no connections."""


class _NoScan:
    async def feed(self, chunk: Buffer) -> None:
        """Ignore the chunk."""

    async def finish(self) -> Verdict:
        return Verdict(ScanOutcome.NOT_SCANNED)

    async def abort(self) -> None:
        """No-op."""
