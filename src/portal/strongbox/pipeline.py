"""The pipeline of an upload: one batch of segments is digested, scanned, and sealed and written, all at the same time.

Comes in: batches of plaintext segments, in order. Leaves: ciphertext in a `BlobWriter`, findings in the observers.
While one batch is in the pipeline, the caller fills the next one. SHA-256, AES-GCM and the disk release the GIL, so two
cores are busy.
"""

import asyncio
from collections.abc import Awaitable
from functools import partial

from portal.backends.blobs.base import BlobWriter, FillBuffer
from portal.crypto.blob import BlobSealer
from portal.strongbox.observers import Observers

SEGMENTS_PER_BATCH = 2  # enough work for a thread to take far longer than waking it
_FEW = 1 << 16  # bytes; a batch of at most so many is digested and sealed in a single call


class SealPipeline:
    """The pipeline of one upload, for one task. After `settle` no thread works for it.

    Lifetime of a batch: the memory passed to `take` must not change until the next `take` (or `settle`) returns.
    Example: a caller with two buffers fills A and takes A; fills B, while A is sealed, and takes B, which first waits
    for A; only now A may be filled again.
    """

    def __init__(self, sealer: BlobSealer, observers: Observers, writer: BlobWriter) -> None:
        self._sealer, self._observers, self._writer = sealer, observers, writer
        self._busy: list[asyncio.Future[None]] = []

    def check(self) -> None:
        """Raises the error of the batch in the pipeline, if one is known by now. Does not wait."""
        for work in self._busy:
            if work.done():
                work.result()

    async def take(self, run: memoryview, *, last: bool = False) -> None:
        """Wait for the batch before this one, then start `run`; if it is the `last`, wait for it too.

        `run` must not change until the next call returns. Raises the errors of the batch that was waited for:
        StorageFull, StoreAway, and ScannerAway if a scan is required.
        """
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
        await asyncio.sleep(0)  # starts the three now, not at the caller's next await
        if last:
            await self._through()

    async def settle(self) -> None:
        """Wait until no thread works on a batch any more. Never raises.

        An error of that batch is dropped: the upload has already ended for another reason.
        """
        if self._busy:
            for work in (await asyncio.wait(self._busy))[0]:
                if not work.cancelled():
                    work.exception()  # marks it as retrieved: asyncio logs exceptions that are never retrieved

    def _write(self, run: memoryview, make: FillBuffer) -> Awaitable[None]:
        return self._writer.write(self._sealer.sealed_length(len(run)), make)

    def _digest_and_seal(self, run: memoryview, room: memoryview, *, last: bool) -> None:
        self._observers.feed(run, last=last)
        self._sealer.seal_into(run, room, last=last)

    async def _through(self) -> None:
        if self._busy:
            await asyncio.wait(self._busy)  # unlike gather, it does not cancel the work if the caller is cancelled
            self.check()
