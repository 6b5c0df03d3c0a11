"""Seal, record, rewrap, open, export, destroy: the strongbox's verbs, over the stores, one keyring and the scanners.

Comes in: chunks and a `BlobContext`, or a `SealedFile` from the rows. Leaves: a blob in the store, or verified
plaintext.
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
    """Seals and opens files. Safe for concurrent use. Only tests give another `layout` than production's."""

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
        context: BlobContext,
        scope: str,
        *,
        limit: int,
        inline: bool = False,
        scanners: Sequence[Scanner] | None = None,
        scan_required: bool = True,
    ) -> AsyncIterator[Sealing]:
        """Seal one blob of at most `limit` plaintext bytes. Leaving the block without `commit` discards the blob.

        `context.blob_id` must be new: no blob was ever sealed under it. An `inline` blob is gathered in memory, and its
        bytes are in `SealedPart.content`. The portal's scanners scan the plaintext unless `scanners` are given.
        Raises StorageFull, Unavailable.

            async with strongbox.sealing(context, scope, limit=limit) as sealing:
                async for chunk in chunks:
                    await sealing.write(chunk)
                findings = await sealing.finish()
                part = await sealing.commit()  # if the findings allow it
        """
        data_key = await self._keyring.active(scope)
        writer = InlineWriter() if inline else await self.stores.first.create(context.blob_id.hex)
        observers = Observers(self._scanners if scanners is None else scanners, scan_required=scan_required)
        sealing = Sealing(context, data_key, self._layout, writer, self.store_id, observers, limit)
        del data_key  # this frame lives for as long as the upload
        try:
            await sealing.begin()
            yield sealing
        finally:
            if not sealing.committed:
                await shielded(sealing.abort())

    @property
    def store_id(self) -> str:
        """The id of the store that takes new blobs, in hex, as rows store it."""
        return self.stores.first.id.hex

    async def has_length(self, part: SealedPart) -> bool:
        """True if the blob of `part` exists and has the length that its row states.

        Raises Unavailable; IntegrityError if the row claims an inline blob that it lacks.
        """
        stat = await blob_source(part, self.stores).stat(part.key)
        return stat is not None and stat.length == part.stored_length

    async def record(self, file: SealedFile) -> bytes:
        """Make the file record: a MAC, under the file's data key, over everything that the file's rows will say.

        Raises IntegrityError if the data key is not one of the file's scope, KeyProviderError if it cannot be
        unwrapped now, DatabaseAway.
        """
        data_key = await self._keyring.get(file.data_key_id, file.scope)
        return record.make(data_key.key, file.claim())

    async def rewrap(self, file: SealedFile, scope: str) -> SealedFile:
        """The same file for another `scope`: every file key wrapped under that scope's data key, and a new file record.

        Nothing in the store changes. Raises IntegrityError if the record or a file key does not verify, Unavailable.
        """
        old = await self._keyring.get(file.data_key_id, file.scope)
        record.check(file.record, old.key, file.claim())
        new = await self._keyring.active(scope)
        parts = []
        for part in file.parts:
            wrapped = wrap.wrap_file_key(await self._file_key(file, part), new.key, new.id, part.context)
            parts.append(replace(part, data_key_id=new.id, wrapped_key=wrapped))
        moved = replace(file, scope=scope, data_key_id=new.id, record=b"", parts=tuple(parts))
        return replace(moved, record=record.make(new.key, moved.claim()))

    async def verify(self, file: SealedFile) -> None:
        """Verify that the rows say what was sealed: one MAC, without reading the blob.

        Raises IntegrityError, Unavailable.
        """
        data_key = await self._keyring.get(file.data_key_id, file.scope)
        record.check(file.record, data_key.key, file.claim())

    async def open(self, file: SealedFile) -> Reader:
        """Verify the file record; returns a reader. Raises IntegrityError, Unavailable."""
        await self.verify(file)
        return Reader(self.stores, self._layout, file, [await self._file_key(file, part) for part in file.parts])

    async def export(self, file: SealedFile) -> list[TinkPart]:
        """Read and verify the whole file; returns every part as a pure Tink stream with its key.

        Raises IntegrityError, Unavailable.
        """
        reader = await self.open(file)
        async for _ in reader.read(0, file.size):
            pass
        return [await self._tink_part(file, part) for part in file.parts]

    async def destroy(self, store_id: str, blob_key: str) -> None:
        """Remove a blob and everything that an unfinished attempt at it left. Idempotent. Raises StoreAway."""
        await self.stores.of(store_id).delete(blob_key)

    async def _file_key(self, file: SealedFile, part: SealedPart) -> bytes:
        data_key = await self._keyring.get(part.data_key_id, file.scope)
        return wrap.unwrap_file_key(part.wrapped_key, data_key.key, data_key.id, part.context)

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
