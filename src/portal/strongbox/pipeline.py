"""The line that an upload passes: digest, scan, and seal and write, side by side, one run of segments at a time.

Comes in: runs of plaintext segments, in order. Leaves: ciphertext in a `BlobWriter`, findings in the observers. While
one run is on the line its caller fills the next: SHA-256, AES-GCM and the disk release the GIL, so two cores are busy.
"""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Self

from portal.backends.blobs.base import BlobWriter
from portal.core.tasks import shielded
from portal.crypto.blob import BlobSealer
from portal.strongbox.observers import Observers

SEGMENTS_PER_BATCH = 2  # segments: what a thread is woken for takes far longer than waking it
_INLINE = 1 << 16  # bytes: so few are sealed where they stand


class SealPipeline:
    """For one upload and one task. Leaving the `with` block waits for what is on the line: no thread goes on."""

    def __init__(self, sealer: BlobSealer, observers: Observers, writer: BlobWriter) -> None:
        self._sealer, self._observers, self._writer = sealer, observers, writer
        self._busy: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._busy:
            await shielded(self._settle())

    def check(self) -> None:
        """Raises what went wrong with the run that is on the line, as soon as it is known."""
        for work in self._busy:
            if work.done():
                work.result()

    async def take(self, run: memoryview, *, last: bool = False) -> None:
        """Put `run` on the line when the one before is through. It must not change until the next is taken."""
        await self._through()
        if len(run) <= _INLINE:
            self._observers.feed(run, last=last)
            await self._observers.scan(run)
            await self._seal(run, last=last)
            return
        self._busy = [
            asyncio.ensure_future(self._seal(run, last=last)),
            asyncio.ensure_future(self._observers.scan(run)),
            asyncio.get_running_loop().run_in_executor(None, partial(self._observers.feed, run, last=last)),
        ]
        await asyncio.sleep(0)  # all of it begins now, not when the caller waits for the first time
        if last:
            await self._through()

    def _seal(self, run: memoryview, *, last: bool) -> Awaitable[None]:
        seal = partial(self._sealer.seal_into, run, last=last)
        return self._writer.write(self._sealer.sealed_length(len(run)), seal)

    async def _settle(self) -> None:
        for work in (await asyncio.wait(self._busy))[0]:
            if not work.cancelled():
                work.exception()  # looked at: the first that was found has been raised

    async def _through(self) -> None:
        if self._busy:
            await asyncio.wait(self._busy)  # a caller that is cancelled takes no thread with it
            self.check()
