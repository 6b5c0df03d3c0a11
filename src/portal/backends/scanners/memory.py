"""`memory:MARKER`: files that contain MARKER are infected, others are clean. For tests; every start logs a warning."""

from portal.backends.scanners.base import ScanOutcome, Verdict
from portal.core.buffer import Buffer


class MemoryScanner:
    """A `Scanner` for tests. The marker is text, at most 1,000 characters."""

    warning = "the memory: scanner knows one marker and no malware: it is for tests"
    waits = False

    def __init__(self, marker: str) -> None:
        self._marker = marker.encode()

    def open(self) -> "_MemoryScan":
        return _MemoryScan(self._marker)

    async def check(self) -> None:
        """No-op: this scanner is always available."""

    async def aclose(self) -> None:
        """No-op: there are no connections."""


class _MemoryScan:
    def __init__(self, marker: bytes) -> None:
        self._marker, self._tail, self._found = marker, b"", False

    async def feed(self, chunk: Buffer) -> None:
        window = self._tail + chunk  # a marker may lie across two chunks
        self._found = self._found or self._marker in window
        self._tail = window[-(len(self._marker) - 1) :] if len(self._marker) > 1 else b""

    async def finish(self) -> Verdict:
        return Verdict(ScanOutcome.INFECTED, "marker") if self._found else Verdict(ScanOutcome.CLEAN)

    async def abort(self) -> None:
        self._tail = b""
