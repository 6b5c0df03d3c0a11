"""`none:`: no scanner. Every file is recorded as `not_scanned`, which is never clean, and every start says so."""

from portal.backends.scanners.base import Outcome, Verdict
from portal.core.buffer import Buffer


class NoScanner:
    """See `Scanner`."""

    warning = "no scanner is configured (PORTAL_SCANNER_URLS=none:): files are recorded as not_scanned"

    def open(self) -> "_NoScan":
        return _NoScan()

    async def check(self) -> None:
        """Nothing to ask."""

    async def aclose(self) -> None:
        """Nothing to let go of."""


class _NoScan:
    async def feed(self, chunk: Buffer) -> None:
        """Not looked at."""

    async def finish(self) -> Verdict:
        return Verdict(Outcome.NOT_SCANNED)

    async def abort(self) -> None:
        """Nothing begun."""
