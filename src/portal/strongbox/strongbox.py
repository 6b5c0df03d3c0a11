"""Seal, record, rewrap, open, export, destroy: the strongbox's verbs, over the stores, one keyring and the scanners.

Comes in: chunks and a `Place`, or a `SealedFile` from the rows. Leaves: a blob in the store, or verified plaintext.
Nothing is visible in the store before `approve` agreed and the blob was committed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

from portal.backends.blobs.base import BlobWriter, copy_of
from portal.backends.scanners.base import Scanner
from portal.core.buffer import Buffer
from portal.core.errors import TooLarge
from portal.core.tasks import shielded
from portal.crypto import blob, record, wrap
from portal.crypto.format import BOUND_SIZE, HEAD_SIZE, BlobContext
from portal.crypto.keyset import keyset_json
from portal.crypto.layout import PRODUCTION, Layout
from portal.crypto.stream import SegmentCutter
from portal.keyring.keyring import DataKey, Keyring
from portal.stores.stores import Stores
from portal.strongbox.inline_blob import blob_source
from portal.strongbox.model import IN_ROW, Findings, SealedFile, SealedPart, TinkPart
from portal.strongbox.observers import Observers
from portal.strongbox.pipeline import SEGMENTS_PER_BATCH, SealPipeline
from portal.strongbox.reader import Reader

Approve = Callable[[Findings], Awaitable[None]]


class Strongbox:
    """Safe for concurrent use. `layout` is other than production's in tests alone."""

    def __init__(
        self, stores: Stores, keyring: Keyring, scanners: Sequence[Scanner], layout: Layout = PRODUCTION
    ) -> None:
        self.stores = stores
        self._keyring = keyring
        self._scanners = scanners
        self._layout = layout

    async def seal(
        self, place: BlobContext, scope: str, chunks: AsyncIterator[Buffer], *, limit: int, approve: Approve
    ) -> tuple[SealedPart, Findings]:
        """Seal `chunks` into one blob in one pass. `place.blob_id` is fresh: never sealed under before.

        `approve` is asked when every byte has been seen and nothing is visible yet; what it raises ends the attempt.
        Raises TooLarge over `limit` plaintext bytes, StorageFull, Unavailable and whatever `chunks` raises. Nothing of
        it is visible then, and `destroy` removes what a commit that was cut off may have left.
        """
        data_key = await self._keyring.active(scope)
        file_key = wrap.new_key()
        sealer = blob.BlobSealer(place, file_key, self._layout)
        writer = await self.stores.first.create(place.blob_id.hex)
        observers = Observers(self._scanners)
        try:
            await writer.write(len(sealer.preamble), copy_of(sealer.preamble))
            await self._pass(chunks, sealer, observers, writer, limit)
            findings = await observers.finish()
            await approve(findings)
            await writer.commit()
        except BaseException:
            await shielded(_abandon(writer, observers))
            raise
        return self._sealed(place, data_key, file_key, sealer.commitment, findings.size), findings

    async def seal_whole(self, place: BlobContext, scope: str, content: Buffer) -> tuple[SealedPart, Findings]:
        """Seal what is in memory into the part itself: the store has nothing of it. For small files.

        Raises Unavailable.
        """
        data_key = await self._keyring.active(scope)
        file_key = wrap.new_key()
        sealer = blob.BlobSealer(place, file_key, self._layout)
        observers = Observers(self._scanners)
        try:
            sealed = await asyncio.to_thread(_observed_and_sealed, content, observers, sealer)
            await observers.scan(content)
            findings = await observers.finish()
        except BaseException:
            await shielded(observers.abort())
            raise
        part = self._sealed(place, data_key, file_key, sealer.commitment, findings.size)
        return replace(part, content=sealed, store=IN_ROW), findings

    @property
    def store_id(self) -> str:
        """The store that takes new blobs, as their rows name it."""
        return self.stores.first.id.hex

    async def has_length(self, part: SealedPart) -> bool:
        """Whether the bytes of `part` are as many as its row says. Raises Unavailable."""
        stat = await blob_source(part, self.stores).stat(part.key)
        return stat is not None and stat.length == part.stored_length

    async def record(self, file: SealedFile) -> bytes:
        """The file record for what the rows are about to say."""
        data_key = await self._keyring.get(file.data_key_id, file.scope)
        return record.make(data_key.key, file.claim())

    async def rewrap(self, file: SealedFile, scope: str) -> SealedFile:
        """The same bytes as `scope` keeps them: every file key under its data key, and a record that says so.

        Nothing in the store changes. Raises IntegrityError for what does not open now, Unavailable.
        """
        old = await self._keyring.get(file.data_key_id, file.scope)
        record.check(file.record, old.key, file.claim())
        new = await self._keyring.active(scope)
        parts = []
        for part in file.parts:
            wrapped = wrap.wrap_file_key(await self._file_key(file, part), new.key, new.id, part.place)
            parts.append(replace(part, data_key_id=new.id, wrapped_key=wrapped))
        moved = replace(file, scope=scope, data_key_id=new.id, record=b"", parts=tuple(parts))
        return replace(moved, record=record.make(new.key, moved.claim()))

    async def verify(self, file: SealedFile) -> None:
        """That the rows say what was sealed: one MAC, no byte is read. Raises IntegrityError, Unavailable."""
        data_key = await self._keyring.get(file.data_key_id, file.scope)
        record.check(file.record, data_key.key, file.claim())

    async def open(self, file: SealedFile) -> Reader:
        """A reader, after the file record was verified. Raises IntegrityError, Unavailable."""
        await self.verify(file)
        return Reader(self.stores, self._layout, file, [await self._file_key(file, part) for part in file.parts])

    async def export(self, file: SealedFile) -> list[TinkPart]:
        """Every part as a pure Tink stream with its key, after the whole file was read and verified."""
        reader = await self.open(file)
        async for _ in reader.read(0, file.size):
            pass
        return [await self._tink_part(file, part) for part in file.parts]

    async def destroy(self, store_id: str, blob_key: str) -> None:
        """Remove a blob and whatever an unfinished attempt at it left. Idempotent. Raises StoreAway."""
        await self.stores.of(store_id).delete(blob_key)

    async def _pass(
        self,
        chunks: AsyncIterator[Buffer],
        sealer: blob.BlobSealer,
        observers: Observers,
        writer: BlobWriter,
        limit: int,
    ) -> None:
        cutter, size = SegmentCutter(self._layout, SEGMENTS_PER_BATCH), 0
        async with SealPipeline(sealer, observers, writer) as line:
            async for chunk in chunks:
                line.check()
                size += len(chunk)
                if size > limit:
                    raise TooLarge
                for segment in cutter.feed(chunk):
                    await line.take(segment)
            await line.take(cutter.finish(), last=True)

    def _sealed(
        self, place: BlobContext, data_key: DataKey, file_key: bytes, commitment: bytes, plain_length: int
    ) -> SealedPart:
        wrapped = wrap.wrap_file_key(file_key, data_key.key, data_key.id, place)
        stored_length = blob.stored_length(self._layout, plain_length)
        return SealedPart(place, data_key.id, wrapped, commitment, plain_length, stored_length, self.store_id)

    async def _file_key(self, file: SealedFile, part: SealedPart) -> bytes:
        data_key = await self._keyring.get(part.data_key_id, file.scope)
        return wrap.unwrap_file_key(part.wrapped_key, data_key.key, data_key.id, part.place)

    async def _tink_part(self, file: SealedFile, part: SealedPart) -> TinkPart:
        file_key = await self._file_key(file, part)
        length, store = part.stored_length - HEAD_SIZE, blob_source(part, self.stores)
        return TinkPart(
            blob_key=part.key,
            key=file_key,
            keyset=keyset_json(file_key, self._layout),
            associated_data=b"".join([piece async for piece in store.get(part.key, [(0, BOUND_SIZE)], bytes)]),
            stream=lambda: store.get(part.key, [(HEAD_SIZE, length)], bytes),
            length=length,
            blob=part.content,
        )


def _observed_and_sealed(content: Buffer, observers: Observers, sealer: blob.BlobSealer) -> bytes:
    observers.feed(content, last=True)
    return sealer.preamble + sealer.seal(content, last=True)


async def _abandon(writer: BlobWriter, observers: Observers) -> None:
    await writer.abort()
    await observers.abort()
