"""The jobs on keys: one brings data keys under the newest master key, one proves that every data key opens, one brings
what PORTAL_SECRET_KEY seals under the newest of these.

Comes in: a running job. Leaves: its progress, and an audit row for each data key that was rewrapped or does not open. A
job that was cut off goes on behind the last data key that it saw. Next: `keyring`, `sealed_secrets`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from uuid import UUID

from portal.backends.keys.base import KeyProviderError
from portal.core.errors import Unavailable
from portal.db.connection import Connection
from portal.db.reasons import reason
from portal.db.unit_of_work import Database
from portal.features.admin.sealed_secrets import SealedSecrets
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.backups import repository as backups
from portal.features.backups.jobs import REWRAP as BACKUP_REWRAP
from portal.features.backups.jobs import enqueue
from portal.features.jobs.running import JobFailed, RunningJob
from portal.keyring import repository
from portal.keyring.keyring import Keyring
from portal.keyring.repository import DamagedDataKey, DataKeyPage, WrappedDataKey

REWRAP: Final = "keys.rewrap"
VERIFY: Final = "keys.verify"
RESEAL: Final = "keys.reseal"
VERIFY_SECONDS = 0.02  # between two data keys: another caller of the provider is not crowded out
_PAGE: Final = 100
_NAMED: Final = 100

_T = TypeVar("_T")
_Change = Callable[[Connection], Awaitable[None]]
_Row = WrappedDataKey | DamagedDataKey


@dataclass(frozen=True, slots=True)
class _Way:
    """How far a job is: the last data key that it saw, how many it saw, how many of them it left, and the first ids of
    those.
    """

    after: UUID | None = None
    seen: int = 0
    left: int = 0
    named: tuple[str, ...] = ()

    @classmethod
    def of(cls, checkpoint: Any) -> "_Way":
        """Raises JobFailed for a checkpoint that no job saved."""
        kept = checkpoint or {"after": None, "seen": 0, "left": 0, "named": []}
        try:
            after = None if kept["after"] is None else UUID(kept["after"])
            return cls(after, int(kept["seen"]), int(kept["left"]), tuple(map(str, kept["named"])))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise JobFailed("its checkpoint was edited: cancel it and ask for a new one") from None

    def past(self, row: _Row) -> "_Way":
        return replace(self, after=row.id, seen=self.seen + 1)

    def leaving(self, row: _Row) -> "_Way":
        named = (*self.named, str(row.id))[:_NAMED]
        return replace(self.past(row), left=self.left + 1, named=named)

    @property
    def checkpoint(self) -> dict[str, Any]:
        return {"after": self.after and str(self.after), "seen": self.seen, "left": self.left, "named": self.named}


@dataclass(frozen=True, slots=True)
class KeyJobs:
    """The handlers of the jobs on keys."""

    database: Database
    keyring: Keyring
    sealed: SealedSecrets
    backup_url: str = ""

    async def rewrap(self, job: RunningJob) -> None:
        """Rewrap each data key that the newest version of the first master key does not wrap.

        A rewrapped data key is retired: it seals no new files. One whose master key is not configured, or which does
        not open, is left. Raises JobFailed if there was one; KeyProviderError, DatabaseAway.
        """
        newest = await self.keyring.newest()
        if _asked(job, "key_id", str) != newest.provider_key_id:
            raise KeyProviderError(reason="this process has another first master key: restart it", transient=True)

        async def page(connection: Connection, after: UUID | None) -> DataKeyPage:
            return await repository.wrapped_otherwise(connection, newest, after=after, limit=_PAGE)

        async def rewrapped(row: WrappedDataKey) -> _Change:
            new = await self.keyring.rewrap(row)
            return lambda connection: self._replace(connection, row, new, job.job.created_by)

        way = await self._walk(job, page, rewrapped)
        await self._rewrap_backups(job, newest.provider_key_id)
        _require_none_left(way, "left")

    async def verify(self, job: RunningJob) -> None:
        """Open each data key at its provider, a few at a time. Raises JobFailed if one does not open;
        KeyProviderError, DatabaseAway.
        """

        async def page(connection: Connection, after: UUID | None) -> DataKeyPage:
            return await repository.page(connection, after=after, limit=_PAGE)

        async def opened(row: WrappedDataKey) -> None:
            await asyncio.sleep(VERIFY_SECONDS)
            await self.keyring.verify(row)

        _require_none_left(await self._walk(job, page, opened), "not opened")

    async def reseal(self, job: RunningJob) -> None:
        """Seal under the newest PORTAL_SECRET_KEY what is sealed under an older one.

        Raises JobFailed if something is left, because no configured key opens it; Unavailable, DatabaseAway.
        """
        if job.payload["key_id"] != self.sealed.key_id:
            raise Unavailable("This process has another newest PORTAL_SECRET_KEY: restart it.")
        resealed = await self.sealed.reseal()
        async with self.database.write() as connection:
            left = (await self.sealed.count_outdated(connection)).total
            event = Event(EventKind.SECRETS_RESEALED, job.job.created_by, details={"resealed": resealed, "left": left})
            await record.write(connection, event)
            await job.save(done=resealed, total=resealed + left, checkpoint={"left": left}, connection=connection)
        if left:
            raise JobFailed(f"{left} secret(s) left: no PORTAL_SECRET_KEY opens them")

    async def _walk(
        self,
        job: RunningJob,
        page_of: Callable[[Connection, UUID | None], Awaitable[DataKeyPage]],
        work: Callable[[WrappedDataKey], Awaitable[_Change | None]],
    ) -> _Way:
        """Do `work` on each data key from the checkpoint on. What it returns is done in the transaction that saves the
        new checkpoint; where nothing is to be written, a page has one checkpoint.
        """
        way = _Way.of(job.checkpoint)
        while True:
            async with self.database.read() as connection:
                page = await page_of(connection, way.after)
            for row in page:
                try:
                    change = await work(_readable(row))
                except KeyProviderError as error:
                    if error.transient:
                        raise
                    way, change = way.leaving(row), _on_record(row, error, job.job.created_by)
                else:
                    way = way.past(row)
                if change is not None or row is page[-1]:
                    await self._save(job, way, change)
            if len(page) < _PAGE:
                return way

    async def _save(self, job: RunningJob, way: _Way, change: _Change | None) -> None:
        async with self.database.write() as connection:
            if change is not None:
                await change(connection)
            await job.save(done=way.seen, total=_total(job), checkpoint=way.checkpoint, connection=connection)

    async def _replace(self, connection: Connection, old: WrappedDataKey, new: WrappedDataKey, actor: str) -> None:
        if await repository.replace_wrap(connection, old, new):  # else another process was faster
            before, after = (self.keyring.version_of(row.provider_key_id, row.head) for row in (old, new))
            details = {"scope": old.scope, "key_before": old.provider_key_id, "key_after": new.provider_key_id}
            versions = {"version_before": before, "version_after": after}
            await record.write(
                connection, Event(EventKind.DATA_KEY_REWRAPPED, actor, str(old.id), details=details | versions)
            )

    async def _rewrap_backups(self, job: RunningJob, key_id: str) -> None:
        """Have the backups at the configured target rewrapped, too, by the next worker, if another key has some."""
        async with self.database.write() as connection:
            others = (await backups.count_by_key(connection)).keys() - {key_id}
            if others and self.backup_url:
                await enqueue(connection, BACKUP_REWRAP, self.backup_url, job.job.created_by)


def _readable(row: _Row) -> WrappedDataKey:
    """Raises KeyProviderError for a row that was edited: it is left, as one that does not open."""
    if isinstance(row, DamagedDataKey):
        raise KeyProviderError(reason="its row was edited")
    return row


def _on_record(row: _Row, error: KeyProviderError, actor: str) -> _Change:
    """The change that puts a data key which does not open on record."""
    why = "not_configured" if error.missing else reason(error)
    details = {"scope": row.scope, "key_id": row.provider_key_id, "reason": why}
    event = Event(EventKind.DATA_KEY_UNOPENED, actor, str(row.id), details=dict(details))
    return lambda connection: record.write(connection, event)


def _asked(job: RunningJob, name: str, kind: type[_T]) -> _T:
    """A value of the job's payload. Raises JobFailed where nobody could have enqueued it so."""
    value = job.payload.get(name)
    if not isinstance(value, kind):
        raise JobFailed("its payload was edited: ask for a new job")
    return value


def _total(job: RunningJob) -> int:
    return _asked(job, "data_keys", int)


def _require_none_left(way: _Way, what: str) -> None:
    if way.left:
        raise JobFailed(f"{way.left} data key(s) {what}, on record as key.unopened: {', '.join(way.named[:2])}")
