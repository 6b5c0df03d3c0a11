"""The line that an upload passes: digest, scan, and seal and write, side by side, one run of segments at a time.

Comes in: runs of plaintext segments, in order. Leaves: ciphertext in a `BlobWriter`, findings in the observers. While
one run is on the line its caller fills the next: SHA-256, AES-GCM and the disk release the GIL, so two cores are busy.
"""

import asyncio
from collections.abc import Awaitable
from functools import partial

from portal.backends.blobs.base import BlobWriter, FillBuffer
from portal.crypto.blob import BlobSealer
from portal.strongbox.observers import Observers

SEGMENTS_PER_BATCH = 2  # segments: what a thread is woken for takes far longer than waking it
_FEW = 1 << 16  # bytes: so few are digested and sealed in one go


class SealPipeline:
    """For one upload and one task. `settle` ends it: no thread goes on."""

    def __init__(self, sealer: BlobSealer, observers: Observers, writer: BlobWriter) -> None:
        self._sealer, self._observers, self._writer = sealer, observers, writer
        self._busy: list[asyncio.Future[None]] = []

    def check(self) -> None:
        """Raises what went wrong with the run that is on the line, as soon as it is known."""
        for work in self._busy:
            if work.done():
                work.result()

    async def take(self, run: memoryview, *, last: bool = False) -> None:
        """Put `run` on the line when the one before is through. It must not change until the next is taken."""
        await self._through()
        if len(run) <= _FEW:
            await self._observers.scan(run)
            await self._write(run, partial(self._digest_and_seal, run, last=last))
            return
        self._busy = [
            asyncio.ensure_future(self._write(run, partial(self._sealer.seal_into, run, last=last))),
            asyncio.ensure_future(self._observers.scan(run)),
            asyncio.get_running_loop().run_in_executor(None, partial(self._observers.feed, run, last=last)),
        ]
        await asyncio.sleep(0)  # all of it begins now, not when the caller waits for the first time
        if last:
            await self._through()

    async def settle(self) -> None:
        """Wait for what is on the line. Never raises; what went wrong was raised by `take` or `check`, or is late."""
        if self._busy:
            for work in (await asyncio.wait(self._busy))[0]:
                if not work.cancelled():
                    work.exception()  # looked at: asyncio reports an exception that nobody looked at

    def _write(self, run: memoryview, make: FillBuffer) -> Awaitable[None]:
        return self._writer.write(self._sealer.sealed_length(len(run)), make)

    def _digest_and_seal(self, run: memoryview, room: memoryview, *, last: bool) -> None:
        self._observers.feed(run, last=last)
        self._sealer.seal_into(run, room, last=last)

    async def _through(self) -> None:
        if self._busy:
            await asyncio.wait(self._busy)  # a caller that is cancelled takes no thread with it
            self.check()
