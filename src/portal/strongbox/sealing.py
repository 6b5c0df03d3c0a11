"""Sealing of one blob in two phases: first every byte is observed and sealed, then the caller commits or aborts.

Comes in: chunks of plaintext. Leaves: `Findings` after the last chunk; a `SealedPart` once the blob is durable. Nothing
is visible in the store before `commit`. Next: `features/files` decides by the findings whether to commit.
"""

from portal.backends.blobs.base import BlobWriter, copy_of
from portal.core.buffer import Buffer
from portal.core.errors import TooLarge
from portal.crypto import wrap
from portal.crypto.blob import BlobSealer, stored_length
from portal.crypto.format import BlobContext
from portal.crypto.layout import Layout
from portal.crypto.stream import SegmentCutter
from portal.keyring.data_key import DataKey
from portal.strongbox.inline_blob import InlineWriter
from portal.strongbox.model import IN_ROW, Findings, SealedPart
from portal.strongbox.observers import Observers
from portal.strongbox.pipeline import SEGMENTS_PER_BATCH, SealPipeline


class Sealing:
    """The sealing of one blob, for one task: any number of `write`, then `finish`, then `commit`.

    `Strongbox.sealing` opens it, and aborts it unless it was committed.
    """

    def __init__(
        self,
        context: BlobContext,
        data_key: DataKey,
        layout: Layout,
        writer: BlobWriter,
        store_id: str,
        observers: Observers,
        limit: int,
    ) -> None:
        self._context, self._layout = context, layout
        self._writer, self._store_id, self._observers = writer, store_id, observers
        file_key = wrap.new_key()
        # Wrapped at once, so that a long upload does not keep the data key in memory.
        self._wrapped_key = wrap.wrap_file_key(file_key, data_key.key, data_key.id, context)
        self._data_key_id, self._sealer = data_key.id, BlobSealer(context, file_key, layout)
        self._cutter = SegmentCutter(layout, SEGMENTS_PER_BATCH)
        self._line = SealPipeline(self._sealer, observers, writer)
        self._limit, self._size = limit, 0
        self._finished = False
        self.committed = False

    async def begin(self) -> None:
        """Open the scans; write the preamble, the bytes before the first segment. Raises StorageFull, StoreAway."""
        self._observers.begin()
        await self._writer.write(len(self._sealer.preamble), copy_of(self._sealer.preamble))

    async def write(self, chunk: Buffer) -> None:
        """Append the next bytes. The caller may reuse the chunk's memory once this returns.

        Raises TooLarge over the limit, StorageFull, StoreAway, and ScannerAway if a scan is required. An error of an
        earlier chunk is raised as soon as it is known. After an error only `abort` may follow.
        """
        self._line.check()
        self._size += len(chunk)
        if self._size > self._limit:
            raise TooLarge
        for run in self._cutter.feed(chunk):
            await self._line.take(run)

    async def finish(self) -> Findings:
        """Seal the last bytes; returns the findings. Raises the errors of `write`, except TooLarge."""
        await self._line.take(self._cutter.finish(), last=True)
        findings = await self._observers.finish()
        self._finished = True
        return findings

    async def commit(self) -> SealedPart:
        """Make the whole blob durable and visible in one step. Raises StorageFull, StoreAway.

        If it raises or is cancelled, the blob may or may not exist: `Strongbox.destroy` removes it in either case.
        """
        if not self._finished:
            raise RuntimeError("a blob is committed after its findings are known")
        await self._writer.commit()
        self.committed = True
        content = self._writer.content if isinstance(self._writer, InlineWriter) else None
        return SealedPart(
            context=self._context,
            data_key_id=self._data_key_id,
            wrapped_key=self._wrapped_key,
            commitment=self._sealer.commitment,
            plain_length=self._size,
            stored_length=stored_length(self._layout, self._size),
            store=self._store_id if content is None else IN_ROW,
            content=content,
        )

    async def abort(self) -> None:
        """Wait for the threads at work, then discard the blob. Never raises. Only for a blob that was not committed."""
        await self._line.settle()
        await self._writer.abort()
        await self._observers.abort()
