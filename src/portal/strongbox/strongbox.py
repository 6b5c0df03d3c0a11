"""Seal, record, rewrap, open, export, destroy: the strongbox's verbs, over the stores, one keyring and the scanners.

Comes in: chunks and a `Place`, or a `SealedFile` from the rows. Leaves: a blob in the store, or verified plaintext.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from portal.backends.scanners.base import Scanner
from portal.core.tasks import shielded
from portal.crypto import record, wrap
from portal.crypto.format import BOUND_SIZE, HEAD_SIZE, BlobContext
from portal.crypto.keyset import keyset_json
from portal.crypto.layout import PRODUCTION, Layout
from portal.keyring.keyring import Keyring
from portal.stores.stores import Stores
from portal.strongbox.inline_blob import InlineWriter, blob_source
from portal.strongbox.model import SealedFile, SealedPart, TinkPart
from portal.strongbox.observers import Observers
from portal.strongbox.reader import Reader
from portal.strongbox.sealing import Sealing


class Strongbox:
    """Safe for concurrent use. `layout` is other than production's in tests alone."""

    def __init__(
        self, stores: Stores, keyring: Keyring, scanners: Sequence[Scanner], layout: Layout = PRODUCTION
    ) -> None:
        self.stores = stores
        self._keyring = keyring
        self._scanners = scanners
        self._layout = layout

    @asynccontextmanager
    async def sealing(
        self,
        place: BlobContext,
        scope: str,
        *,
        limit: int,
        inline: bool = False,
        scanners: Sequence[Scanner] | None = None,
        scan_required: bool = True,
    ) -> AsyncIterator[Sealing]:
        """Seal one blob of at most `limit` plaintext bytes; leaving the block without `commit` keeps nothing of it.

        `place.blob_id` is fresh: never sealed under before. An `inline` blob is gathered in memory and lies in its
        part. The portal's scanners scan it unless others are given. Raises StorageFull, Unavailable.

            async with strongbox.sealing(place, scope, limit=limit) as sealing:
                async for chunk in chunks:
                    await sealing.write(chunk)
                findings = await sealing.finish()
                part = await sealing.commit()  # if the findings allow it
        """
        data_key = await self._keyring.active(scope)
        writer = InlineWriter() if inline else await self.stores.first.create(place.blob_id.hex)
        observers = Observers(self._scanners if scanners is None else scanners, scan_required=scan_required)
        sealing = Sealing(place, data_key, self._layout, writer, self.store_id, observers, limit)
        try:
            await sealing.begin()
            yield sealing
        finally:
            if not sealing.committed:
                await shielded(sealing.abort())

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
