"""The job that changes a target: it makes a backup, removes old ones, or wraps their keys anew.

Comes in: a running job. Leaves: its progress and its result, which is its checkpoint, and an audit row. All three are
one kind, of which one job runs at a time: nobody removes a blob that a backup in the making counts on. Next:
`creating`, `pruning`, `rewrapping`.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from portal.backends.blobs.base import BlobStore
from portal.core.errors import ConfigError, IntegrityError
from portal.db.connection import Connection
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.backups import catalogue, repository
from portal.features.backups.creating import Creating, Made
from portal.features.backups.parts import blob_keys
from portal.features.backups.pruning import Pruning
from portal.features.backups.rewrapping import HeaderRewrapping
from portal.features.backups.targets import TargetRefused, Targets
from portal.features.jobs import queue
from portal.features.jobs.running import JobFailed, RunningJob

BACKUP: Final = "backup"
CREATE: Final = "create"
PRUNE: Final = "prune"
REWRAP: Final = "rewrap"
_SAVE_SECONDS: Final = 1.0


async def enqueue(connection: Connection, do: str, url: str, created_by: str, **payload: Any) -> str:
    """Have a job do it at this target, unless one for the same waits or runs. Returns the key that is unique to it."""
    key = f"{do} {sha256(url.encode()).hexdigest()}"
    payload |= {"do": do, "url": url}
    await queue.enqueue(connection, BACKUP, payload, created_by=created_by, unique_key=key)
    return key


@dataclass(frozen=True, slots=True)
class BackupJobs:
    """The handler of the kind."""

    targets: Targets
    creating: Creating
    pruning: Pruning
    rewrapping: HeaderRewrapping

    async def work(self, job: RunningJob) -> None:
        """Do what the payload says. Raises JobFailed, Unavailable, StorageFull."""
        does = {CREATE: self._create, PRUNE: self._prune, REWRAP: self._rewrap}[job.payload["do"]]
        async with self._target(job) as target:
            await does(job, target)

    @asynccontextmanager
    async def _target(self, job: RunningJob) -> AsyncIterator[BlobStore]:
        try:
            async with self.targets.writable(job.payload["url"]) as target:
                yield target
        except (TargetRefused, ConfigError) as error:
            raise JobFailed(str(error)) from error

    async def _create(self, job: RunningJob, target: BlobStore) -> None:
        await self.pruning.settle(target)
        async with aclosing(self._trusted(job, target)) as trusted:
            made = await self.creating.create(target, trusted, _Slowly(job).save)
        async with self.targets.database.write() as connection:
            await repository.set_key(connection, made.id, made.key_id)
            details: dict[str, Detail] = {"blobs": made.blobs, "copied": made.copied, "missing": made.missing}
            event = Event(EventKind.BACKUP_CREATED, job.job.created_by, str(made.id), details=details)
            await record.write(connection, event)
            told = asdict(made) | {"id": str(made.id)}
            await job.save(done=made.blobs, total=made.blobs, checkpoint=told, connection=connection)
        _require_whole(made)

    async def _trusted(self, job: RunningJob, target: BlobStore) -> AsyncGenerator[str, None]:
        """The blobs of the newest backup that opens, for an incremental one; none for any other."""
        if job.payload["incremental"]:
            for backup in await catalogue.backups(target, self.pruning.keyring):
                if backup.key is not None:
                    keys = blob_keys(target, catalogue.as_open(backup), self.pruning.keyring)
                    with suppress(IntegrityError):  # a damaged backup vouches for no more: the others are compared
                        async with aclosing(keys):
                            async for key in keys:
                                yield key
                    return

    async def _prune(self, job: RunningJob, target: BlobStore) -> None:
        pruned = await self.pruning.prune(target, job.payload["keep"])
        await self._end(job, EventKind.BACKUPS_PRUNED, target.id, asdict(pruned))

    async def _rewrap(self, job: RunningJob, target: BlobStore) -> None:
        done = await self.rewrapping.rewrap(target)
        left = len(done.left)
        await self._end(job, EventKind.BACKUPS_REWRAPPED, target.id, {"backups": done.backups, "left": left})
        if done.left:
            raise JobFailed(f"{left} backup(s) left: {done.left[0]}")

    async def _end(self, job: RunningJob, kind: EventKind, target_id: UUID, told: Mapping[str, Any]) -> None:
        async with self.targets.database.write() as connection:
            await record.write(connection, Event(kind, job.job.created_by, str(target_id), details=dict(told)))
            await job.save(done=told["backups"], checkpoint=dict(told), connection=connection)


class _Slowly:
    """Progress, saved at most once a second."""

    def __init__(self, job: RunningJob) -> None:
        self._job, self._due = job, 0.0

    async def save(self, done: int) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _SAVE_SECONDS
            await self._job.save(done=done)


def _require_whole(made: Made) -> None:
    if made.missing:
        raise JobFailed(
            f"the portal itself has lost {made.missing} blob(s), the backup has all others: {made.named[0]}"
        )
