"""The job that gives files new keys and new blobs, one after the other.

Comes in: a running job. Leaves: its progress, and an audit row for each file. A job that was cut off goes on behind the
last file that it finished: the swap of a file and the checkpoint are one transaction. A damaged file is left and named,
and the job goes on. Next: `files.reencrypt` does one file.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from portal.backends.keys.base import KeyProviderError
from portal.core import clock
from portal.core.errors import IntegrityError, StorageFull
from portal.db.connection import Connection
from portal.db.reasons import reason
from portal.db.unit_of_work import Database
from portal.features.admin.exposed import exposed_with
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.files import selection
from portal.features.files.reencrypt import Reencryption, Replacement, StoreNotConfigured
from portal.features.files.selection import Selection
from portal.features.jobs.running import JobFailed, RunningJob
from portal.keyring import repository
from portal.keyring.keyring import ROW_SECONDS, Keyring
from portal.strongbox.model import SealedFile

REENCRYPT: Final = "files.reencrypt"
MIB: Final = 1 << 20
MAX_RATE: Final = 1_000_000  # MiB a second
TOLD_SECONDS = 2.0  # between two saves of the progress within one file
_PAGE: Final = 100
_NAMED: Final = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for, as a job's payload says it. A rate of None is no bound; it counts the files' content."""

    file_id: UUID | None = None
    case_id: UUID | None = None
    sealed_before: datetime | None = None
    key_id: str | None = None
    mib_per_second: int | None = None

    async def selection(self, connection: Connection) -> Selection:
        """Raises NotFound for an unknown key."""
        exposed = None if self.key_id is None else await exposed_with(connection, self.key_id)
        return Selection(self.file_id, self.case_id, self.sealed_before, exposed)

    @property
    def payload(self) -> dict[str, str | int | None]:
        ids: dict[str, str | int | None] = {
            name: None if value is None else str(value)
            for name, value in (("file_id", self.file_id), ("case_id", self.case_id), ("key_id", self.key_id))
        }
        before = None if self.sealed_before is None else clock.rfc3339(self.sealed_before)
        return ids | {"sealed_before": before, "mib_per_second": self.mib_per_second}

    @classmethod
    def of(cls, payload: Any) -> "Wanted":
        file_id, case_id = (payload[name] and UUID(payload[name]) for name in ("file_id", "case_id"))
        before = payload["sealed_before"] and datetime.fromisoformat(payload["sealed_before"])
        return cls(file_id, case_id, before, payload["key_id"], payload["mib_per_second"])


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far a job is: the last file that it saw, how many files and bytes it saw, how many files it left, and the
    first ids of those.
    """

    after: UUID | None = None
    files: int = 0
    bytes: int = 0
    left: int = 0
    named: tuple[str, ...] = ()

    @classmethod
    def of(cls, checkpoint: Any) -> "_Progress":
        kept = checkpoint or {"after": None, "files": 0, "bytes": 0, "left": 0, "named": []}
        after = None if kept["after"] is None else UUID(kept["after"])
        return cls(after, kept["files"], kept["bytes"], kept["left"], tuple(kept["named"]))

    def past(self, file_id: UUID, size: int) -> "_Progress":
        return replace(self, after=file_id, files=self.files + 1, bytes=self.bytes + size)

    def leaving(self, file_id: UUID) -> "_Progress":
        named = (*self.named, str(file_id))[:_NAMED]
        return replace(self, after=file_id, left=self.left + 1, named=named)

    @property
    def checkpoint(self) -> dict[str, Any]:
        after = None if self.after is None else str(self.after)
        return {"after": after, "files": self.files, "bytes": self.bytes, "left": self.left, "named": self.named}


@dataclass(frozen=True, slots=True)
class ReencryptJob:
    """The handler of the job."""

    database: Database
    keyring: Keyring
    reencryption: Reencryption

    async def run(self, job: RunningJob) -> None:
        """Reencrypt each file of the selection, from the checkpoint on.

        Raises JobFailed if a file was left, or if there is no room; DatabaseAway, KeyProviderError, StoreAway.
        """
        wanted = Wanted.of(job.payload)
        if wanted.key_id == self.keyring.provider_key_ids[0]:
            text = "this process has the exposed master key as its first: restart it"
            raise KeyProviderError(reason=text, transient=True)
        async with self.database.read() as connection:
            chosen = await wanted.selection(connection)
        if chosen.exposed is not None:
            await self._retire(chosen.exposed.data_keys, job.job.created_by)
        walk = _Walk(self.database, self.reencryption, job, chosen, _Pace(wanted.mib_per_second))
        try:
            await walk.go()
        except StorageFull as full:
            raise JobFailed(f"{full.code}: no room for the copy of a file; nothing of it was kept") from None

    async def _retire(self, data_keys: tuple[UUID, ...], actor: str) -> None:
        """Have no new file sealed under these keys: in this process from now on, in each other within ROW_SECONDS."""
        async with self.database.write() as connection:
            retired = await repository.retire_each(connection, data_keys, clock.now())
            if retired:
                details = {"case_id": None, "data_keys": retired}
                await record.write(connection, Event(EventKind.DATA_KEYS_ROTATED, actor, details=dict(details)))
        await asyncio.sleep(ROW_SECONDS if retired else 0)


class _Pace:
    """Bounds a rate: `taken` waits until so many bytes may have been copied."""

    def __init__(self, mib_per_second: int | None) -> None:
        self._rate, self._free_at = mib_per_second and mib_per_second * MIB, time.monotonic()

    async def taken(self, size: int) -> None:
        if self._rate is not None:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self._rate
            await asyncio.sleep(self._free_at - now)


class _Walk:
    """One run through the files, for one task."""

    def __init__(
        self, database: Database, reencryption: Reencryption, job: RunningJob, chosen: Selection, pace: _Pace
    ) -> None:
        self._database, self._reencryption = database, reencryption
        self._job, self._chosen, self._pace = job, chosen, pace
        self._way = _Progress.of(job.checkpoint)
        self._exposed = frozenset(chosen.exposed.data_keys if chosen.exposed else ())
        self._copied, self._told_at = 0, time.monotonic()

    async def go(self) -> None:
        while True:
            async with self._database.read() as connection:
                page = await selection.page(connection, self._chosen, self._way.after, _PAGE)
            for file_id in page:
                await self._one(file_id)
            if len(page) < _PAGE:
                break
        if self._way.left:
            named = ", ".join(self._way.named[:2])
            raise JobFailed(f"{self._way.left} file(s) left, on record as file.not_reencrypted: {named}")

    async def _one(self, file_id: UUID) -> None:
        self._copied = 0
        asked = Replacement(self._job.job.created_by, self._on_copied, self._past, self._exposed)
        try:
            if not await self._reencryption.reencrypt(file_id, asked):
                self._way = replace(self._way, after=file_id)  # it is gone
        except (IntegrityError, StoreNotConfigured) as error:
            await self._leave(file_id, error.code)
        except KeyProviderError as error:
            if error.transient:
                raise
            await self._leave(file_id, "not_configured" if error.missing else reason(error))

    async def _on_copied(self, size: int) -> None:
        self._copied += size
        await self._pace.taken(size)
        if time.monotonic() - self._told_at >= TOLD_SECONDS:
            await self._save(self._way, self._copied)

    async def _past(self, connection: Connection, file: SealedFile) -> None:
        way = self._way.past(file.file_id, file.size)
        await self._save(way, connection=connection)
        self._way = way

    async def _leave(self, file_id: UUID, why: str) -> None:
        self._way = self._way.leaving(file_id)
        event = Event(EventKind.FILE_NOT_REENCRYPTED, self._job.job.created_by, str(file_id), details={"reason": why})
        async with self._database.write() as connection:
            await record.write(connection, event)
            await self._save(self._way, connection=connection)

    async def _save(self, way: _Progress, copied: int = 0, *, connection: Connection | None = None) -> None:
        self._told_at = time.monotonic()
        total: int = self._job.payload["bytes"]
        await self._job.save(done=way.bytes + copied, total=total, checkpoint=way.checkpoint, connection=connection)
