"""Reencryption: a file gets a new file key and a new blob. Its bytes are copied, verified, and swapped; never in place.

Comes in: a file's id. Leaves: the same file in a new blob, under the active data key of its scope; or an error, and the
file as it was. The row of the new blob is written before its first byte, and a process that dies leaves it to the
sweep. The swap is one transaction, and only while the file's record is the one that was read. The plaintext passes
through memory, a batch at a time. Next: `features/admin` walks through the files.
"""

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from portal.backends.blobs.base import StoreAway
from portal.core.errors import IntegrityError, StorageFull, Unavailable
from portal.core.ids import new_id
from portal.core.tasks import shielded
from portal.crypto.format import BlobContext
from portal.db import lease
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.authz.relation import CaseStatus
from portal.features.cases import relations
from portal.features.cases import repository as cases
from portal.features.files import blob_rows, repository
from portal.features.files.blob_rows import AT_ONCE, FileMoved, LetGo
from portal.features.files.removal import remove_bytes
from portal.features.files.views import FileView
from portal.strongbox.model import IN_ROW, SealedFile, SealedPart
from portal.strongbox.strongbox import Strongbox

Copied = Callable[[int], Awaitable[None]]
"""Awaited after each piece of the plaintext, with its length: it may wait, and it may raise to give the copy up."""


class StoreNotConfigured(Unavailable):
    code, title = "store_not_configured", "The blob store of this file is not configured."


class _Changed(Exception):
    """The file was moved, deleted or given other keys while its bytes were copied."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """How a file is to be reencrypted. `swapped` is awaited in the transaction of the swap."""

    actor: str
    copied: Copied
    swapped: Callable[[Connection, SealedFile], Awaitable[None]]
    exposed: frozenset[UUID] = frozenset()  # data keys under which no new blob may be


@dataclass(frozen=True, slots=True)
class _Before:
    file: FileView
    sealed: SealedFile


class Reencryption:
    """Safe for concurrent use, and beside uploads, downloads, moves and deletes of the same files."""

    def __init__(self, database: Database, strongbox: Strongbox, *, grace: timedelta) -> None:
        """The bytes of a blob that was replaced stay for `grace`, as those of a deleted file."""
        self._database, self._strongbox, self._grace = database, strongbox, grace

    async def reencrypt(self, file_id: UUID, asked: Replacement) -> bool:
        """Give the file a new key and a new blob. False if there is no such file any more.

        Raises IntegrityError for a damaged file, StoreNotConfigured for one in a store that is not there: they stay as
        they are. Raises StorageFull, Unavailable, and the errors of `asked`: then nothing was changed, and nothing is
        left.
        """
        while (before := await self._read(file_id)) is not None:
            try:
                await self._replace(before, asked)
            except _Changed:
                continue
            except IntegrityError:
                if await self._is_unchanged(before):
                    raise
            else:
                return True
        return False

    async def _read(self, file_id: UUID) -> _Before | None:
        while True:
            with suppress(FileMoved):
                async with self._database.read() as connection:
                    file = await repository.find(connection, file_id)
                    if file is None or not file.listed or await _is_shredded(connection, file):
                        return None
                    sealed = file.sealed(await blob_rows.parts(connection, file))
                if sealed is None or not sealed.parts:
                    raise IntegrityError
                return _Before(file, sealed)

    async def _is_unchanged(self, before: _Before) -> bool:
        async with self._database.read() as connection:
            now = await repository.find(connection, before.file.id)
        return now is not None and now.record == before.file.record

    async def _replace(self, before: _Before, asked: Replacement) -> None:
        generation = max(part.context.key_generation for part in before.sealed.parts) + 1
        context = BlobContext(before.file.id, new_id(), key_generation=generation)
        if all(part.store == IN_ROW for part in before.sealed.parts):
            await self._swap(before, await self._copied(before, context, asked, inline=True), asked)
            return
        configured = {store.id.hex for store in self._strongbox.stores} | {IN_ROW}
        if any(part.store not in configured for part in before.sealed.parts):
            raise StoreNotConfigured
        async with self._replacing(context):
            new = await self._copied(before, context, asked, inline=False)
            await shielded(self._swap(before, new, asked))

    @asynccontextmanager
    async def _replacing(self, context: BlobContext) -> AsyncIterator[None]:
        """Name the new blob by a row before its first byte. Whatever ends the block, a blob that no file has goes."""
        store_id = self._strongbox.store_id

        async def renew(connection: Connection, until: datetime) -> bool:
            return await blob_rows.keep_alive(connection, context.blob_id, until)

        async with self._database.write() as connection:
            await blob_rows.add_replacing(connection, context, store_id)
        try:
            async with lease.renewed(self._database, renew, f"blob {context.blob_id}"):
                yield
        except BaseException:
            await shielded(self._discard(LetGo(context.blob_id, store_id)))
            raise

    async def _discard(self, blob: LetGo) -> None:
        """Remove the new blob unless the file has it: the outcome of the swap may be unknown here, its row knows it.

        It is removed too if a sweep has removed it: its last bytes may have been written after that.
        """
        with suppress(Unavailable, StorageFull):  # the sweep does it when the lease has expired
            async with self._database.write() as connection:
                swapped = await blob_rows.is_part(connection, blob.id)
                if not swapped:
                    await blob_rows.let_go(connection, blob_rows.one(blob.id), AT_ONCE)
            if not swapped:
                await remove_bytes(self._database, self._strongbox, blob)

    async def _copied(self, before: _Before, context: BlobContext, asked: Replacement, *, inline: bool) -> SealedFile:
        """The file in a new blob that was read back: its plaintext has the digest that the old record tells."""
        old = before.sealed
        reader = await self._strongbox.open(old)
        sealing = self._strongbox.sealing(context, old.scope, limit=old.size, inline=inline, scanners=())
        async with sealing as new, aclosing(reader.read(0, old.size)) as pieces:
            async for piece in pieces:
                await new.write(piece)
                await asked.copied(len(piece))
            findings = await new.finish()
            if not hmac.compare_digest(findings.sha256, old.sha256):
                raise IntegrityError
            part = await new.commit()
        if part.data_key_id in asked.exposed:
            raise Unavailable("The data key that seals new files is an exposed one.")
        return await self._read_back(await self._recorded(old, part))

    async def _recorded(self, old: SealedFile, part: SealedPart) -> SealedFile:
        new = replace(old, data_key_id=part.data_key_id, record=b"", parts=(part,))
        return replace(new, record=await self._strongbox.record(new))

    async def _read_back(self, new: SealedFile) -> SealedFile:
        """The same file, once all of it opens as it lies there. Raises StoreAway: a later try may succeed."""
        try:
            reader = await self._strongbox.open(new)
            async with aclosing(reader.read(0, new.size)) as pieces:
                async for _ in pieces:
                    pass
        except IntegrityError as error:
            raise StoreAway("The store does not return what was written.") from error
        return new

    async def _swap(self, before: _Before, new: SealedFile, asked: Replacement) -> None:
        """One transaction: the file has the new blob, and the old one is let go. Raises _Changed, Unavailable."""
        (part,) = new.parts
        async with self._database.write() as connection:
            if before.file.case_id is not None:
                await relations.lock_case(connection, before.file.case_id)
            if await _is_shredded(connection, before.file):
                raise _Changed
            values = {"data_key_id": new.data_key_id, "record": new.record}
            if not await repository.replace_keys(connection, before.file, values):
                raise _Changed
            if part.store == IN_ROW:
                await blob_rows.add_part(connection, part)
            elif not await blob_rows.swap_in(connection, part):
                raise Unavailable("The new blob was given up by a sweep.")
            for old in before.sealed.parts:
                await blob_rows.let_go(connection, blob_rows.one(old.context.blob_id), self._grace)
            await record.write(connection, _event(before.sealed, part, asked.actor))
            await asked.swapped(connection, new)


async def _is_shredded(connection: Connection, file: FileView) -> bool:
    """Whether the file's case is shredded: then its keys must not come back."""
    case = None if file.case_id is None else await cases.find(connection, file.case_id)
    return case is not None and case.status is CaseStatus.SHREDDED


def _event(old: SealedFile, part: SealedPart, actor: str) -> Event:
    details: dict[str, Detail] = {"data_key_before": str(old.data_key_id), "data_key_after": str(part.data_key_id)}
    details |= {"size": old.size, "key_generation": part.context.key_generation}
    return Event(EventKind.FILE_REENCRYPTED, actor, str(old.file_id), details=details)
