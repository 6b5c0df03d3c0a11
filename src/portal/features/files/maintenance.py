"""Maintenance: `sweep` cleans up after crashes and removes the bytes that were let go, `fsck` checks listed files for
damage, `export` returns file keys.

Comes in: a command of an operator, or a periodic job. Leaves: reports, and an audit event for every change and export.
A blob that no row names is never removed from the store.
"""

import hashlib
import hmac
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from portal.core import clock, log
from portal.core.errors import IntegrityError, NotFound, PortalError
from portal.db.lease import LEASE
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.files import blob_rows, failed_rows, grant_rows, repository
from portal.features.files.blob_rows import FileMoved, LetGo, Waiting
from portal.features.files.removal import fail_expired, remove_bytes
from portal.features.files.views import FileView
from portal.strongbox.model import SealedFile, TinkPart
from portal.strongbox.strongbox import Strongbox

SWEEPER = "system:sweep"
IDEMPOTENCY_KEPT = timedelta(hours=24)
FAILED_KEPT = timedelta(days=7)
_PAGE = 200

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of `fsck` for one file, or for one blob without a file. `problem` is None for a sound file."""

    file_id: UUID | None
    name: str
    bytes_read: int
    problem: str | None


class Maintenance:
    """Safe to run beside a serving portal, and beside itself."""

    def __init__(self, database: Database, strongbox: Strongbox) -> None:
        self._database = database
        self._strongbox = strongbox

    async def sweep(self, older_than: timedelta = LEASE) -> int:
        """Fail uploads whose lease was last renewed `older_than` ago or earlier, and remove blobs whose time to go has
        come.

        Returns how many blobs were removed. It also deletes expired grants, grants whose creator has lost the right to
        them, idempotency keys after 24 hours, and rows of failed uploads after 7 days.

        With less than LEASE it also fails uploads that are still running: only for a portal that is stopped.
        """
        await self._fail_expired(clock.now() + LEASE - older_than)
        removed = await self._remove_let_go(clock.now())
        async with self._database.write() as connection:
            await grant_rows.forget_over(connection, clock.now())
            await grant_rows.end_given(connection)  # created while the creator was losing the right
            await repository.expire_idempotency_keys(connection, clock.now() - IDEMPOTENCY_KEPT)
            await failed_rows.forget(connection, clock.now() - FAILED_KEPT)
        return removed

    async def waiting(self) -> Waiting:
        """What waits until its time to go has come."""
        async with self._database.read() as connection:
            return await blob_rows.count_waiting(connection)

    async def end_grace(self, *, actor: str) -> int:
        """Remove all that waits, whatever its time: to make room. It is written to the audit log first.

        Returns how many blobs were removed.
        """
        async with self._database.write() as connection:
            waiting = await blob_rows.count_waiting(connection)
            details: dict[str, Detail] = {"blobs": waiting.blobs, "bytes": waiting.size}
            await record.write(connection, Event(EventKind.FILE_GRACE_ENDED, actor, details=details))
        return await self._remove_let_go(None)

    async def fsck(self, *, sample: float | None = None, full: bool = False) -> AsyncIterator[Checked]:
        """Check every listed file: its file record and the lengths of its blobs. Then report every orphaned blob.

        With `full`, every byte and the digest are checked too. `sample` does that for a random fraction of the files,
        from 0 to 1. An error of one file is reported in its `Checked`, and the check goes on.
        """
        after: UUID | None = None
        while True:
            async with self._database.read() as connection:
                ids = await repository.listed_ids(connection, after, _PAGE)
            for file_id in ids:
                deep = full or (sample is not None and random.random() < sample)  # noqa: S311  # a sample, no secret
                yield await self._check(file_id, deep=deep)
            if len(ids) < _PAGE:
                break
            after = ids[-1]
        async for key in self._orphans():
            yield Checked(None, key, 0, "a blob that no file names")

    async def read(self, file_id: UUID) -> Checked:
        """Check every byte and the digest of one file, as `fsck` does."""
        return await self._check(file_id, deep=True)

    async def count(self) -> int:
        """The approximate number of files that `fsck` will check: those listed now."""
        async with self._database.read() as connection:
            return await repository.count_listed(connection)

    async def export(self, file_id: UUID, *, actor: str) -> list[TinkPart]:
        """Every part of a file as a pure Tink stream with its key. The export is written to the audit log first.

        Raises NotFound, IntegrityError, Unavailable.
        """
        async with self._database.write() as connection:
            file = await repository.find(connection, file_id)
            if file is None or not file.listed:
                raise NotFound
            await record.write(connection, Event(EventKind.FILE_EXPORTED, actor, str(file_id)))
        return await self._strongbox.export(await self._sealed(file))

    async def _fail_expired(self, lease_before: datetime) -> None:
        after: UUID | None = None
        while True:
            async with self._database.read() as connection:
                files = await repository.unsettled(connection, lease_before, after, _PAGE)
            for file in files:
                await self._fail(file.id, lease_before)
            if len(files) < _PAGE:
                return
            after = files[-1].id

    async def _fail(self, file_id: UUID, lease_before: datetime) -> None:
        """An error is logged, so that one file does not stop the sweep of the others."""
        try:
            async with self._database.write() as connection:
                failed = await fail_expired(connection, file_id, lease_before, SWEEPER)
        except PortalError as error:
            _log.warning("upload_not_settled", file_id=str(file_id), code=error.code)
        else:
            if failed:
                _log.info("upload_settled", file_id=str(file_id))

    async def _remove_let_go(self, moment: datetime | None) -> int:
        """Remove the blobs whose time is before `moment`, or all that wait; returns how many. Those that cannot be
        removed now are left to the next sweep.
        """
        removed, left = 0, 0
        while True:
            async with self._database.read() as connection:
                blobs = await blob_rows.due(connection, moment, _PAGE, skip=left)
            for blob in blobs:
                gone = await self._removed(blob)
                removed += gone is True
                left += gone is None
            if len(blobs) < _PAGE:
                return removed

    async def _removed(self, blob: LetGo) -> bool | None:
        """False if it was gone already; None if it cannot be removed now, which is logged."""
        try:
            return await remove_bytes(self._database, self._strongbox, blob)
        except PortalError as error:
            _log.warning("blob_not_removed", blob_id=str(blob.id), code=error.code)
            return None

    async def _check(self, file_id: UUID, *, deep: bool) -> Checked:
        name = ""
        try:
            async with self._database.read() as connection:
                file = await repository.find(connection, file_id)
            if file is None or not file.listed:
                return Checked(file_id, name, 0, None)  # deleted since it was listed
            name = file.name
            sealed = await self._sealed(file)
            return Checked(file_id, name, await (self._read_whole if deep else self._check_lengths)(sealed), None)
        except FileMoved:
            return await self._check(file_id, deep=deep)
        except IntegrityError:
            return Checked(file_id, name, 0, await self._damaged(file_id))
        except PortalError as error:
            return Checked(file_id, name, 0, f"not checked: {error.code}")

    async def _damaged(self, file_id: UUID) -> str | None:
        """Write the damage to the audit log. None if the file was deleted during the check."""
        async with self._database.write() as connection:
            if file_id not in await repository.listed_ids(connection, None, 1, only=file_id):
                return None
            await record.write(connection, Event(EventKind.FILE_DAMAGED, "system:fsck", str(file_id)))
        return "damaged"

    async def _sealed(self, file: FileView) -> SealedFile:
        async with self._database.read() as connection:
            sealed = file.sealed(await blob_rows.parts(connection, file))
        if sealed is None:
            raise IntegrityError
        return sealed

    async def _check_lengths(self, sealed: SealedFile) -> int:
        await self._strongbox.open(sealed)
        for part in sealed.parts:
            if not await self._strongbox.has_length(part):
                raise IntegrityError
        return 0

    async def _read_whole(self, sealed: SealedFile) -> int:
        digest = hashlib.sha256()
        reader = await self._strongbox.open(sealed)
        async with aclosing(reader.read(0, sealed.size)) as chunks:
            async for chunk in chunks:
                digest.update(chunk)
        if not hmac.compare_digest(digest.digest(), sealed.sha256):
            raise IntegrityError
        return sealed.size

    async def _orphans(self) -> AsyncIterator[str]:
        """Keys of blobs that no row names. A row is written before its blob, so a blob being written has a row."""
        for store in self._strongbox.stores:
            async for key in store.list():
                async with self._database.read() as connection:
                    known = await blob_rows.blob_known(connection, UUID(hex=key))
                if not known and await store.stat(key) is not None:  # else it was deleted meanwhile
                    yield key
