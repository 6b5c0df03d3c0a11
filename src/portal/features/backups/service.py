"""Backups for the command line: what is at a target, and the jobs that change it.

Comes in: the URL of a target. Leaves: a job, a list, or what a verification found; an audit row for each act. Next:
`jobs`, `catalogue`, `verifying`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import MetaData

from portal.core.errors import Conflict
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.backups import catalogue, repository, verifying
from portal.features.backups.creating import Creating
from portal.features.backups.jobs import BACKUP, BackupJobs, enqueue
from portal.features.backups.pruning import Pruning
from portal.features.backups.rewrapping import HeaderRewrapping
from portal.features.backups.targets import OpenStore, Targets
from portal.features.backups.verifying import Verified
from portal.features.jobs import repository as jobs
from portal.features.jobs.views import Job
from portal.resources import Resources


@dataclass(frozen=True, slots=True)
class Listed:
    """A backup as a list shows it. `problem` says why it cannot be used; None for one that can be opened. `id` and
    `created_at` are None where not even the header is readable. `object` is the key of the header in the store.
    """

    id: UUID | None
    created_at: datetime | None
    key_id: str | None
    bytes: int | None
    object: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Backups:
    """The backups of one portal."""

    targets: Targets
    handlers: BackupJobs
    database: Database
    resources: Resources

    async def request(self, actor: str, do: str, url: str, **payload: Any) -> Job:
        """Have a job do it; if one for the same waits or runs already, that one. Raises ConfigError, DatabaseAway."""
        await self.targets.open_store(url).aclose()  # a URL that is none is refused now
        async with self.database.write() as connection:
            key = await enqueue(connection, do, url, actor, **payload)
            job = await jobs.find_unfinished(connection, BACKUP, key)
        if job is None:
            raise Conflict("The job has just ended; try again.")
        return job

    async def list(self, url: str) -> list[Listed]:
        """What is at the target, newest first, then what this portal knows of it and is not there."""
        async with self.targets.readable(url) as target:
            found = await catalogue.backups(target, self.resources.keyring)
            async with self.database.read() as connection:
                known = await repository.known(connection, target.id)
        listed = [_listed(backup) for backup in found]
        gone = {key: under for key, under in known.items() if under is not None}
        missing = gone.keys() - {one.id for one in listed}
        return listed + [Listed(each, None, gone[each], None, None, "it is gone") for each in sorted(missing)]

    async def verify(self, actor: str, url: str, backup_id: UUID | None, progress: Callable[[int], None]) -> Verified:
        """Open everything in the newest backup, or in the one that is named. Raises NotFound, BackupUnopened."""
        async with self.targets.readable(url) as target:
            backup = await catalogue.opened(target, self.resources.keyring, backup_id)
            found = await verifying.verify(target, backup, self.resources.keyring, progress)
        details = {"blobs": found.blobs, "bad": found.bad}
        async with self.database.write() as connection:
            event = Event(EventKind.BACKUP_VERIFIED, actor, str(found.id), details=dict(details))
            await record.write(connection, event)
        return found


def build(resources: Resources, open_store: OpenStore, metadata: MetaData, revision: str) -> Backups:
    """Build the service on one set of resources. `revision` is that of the database."""
    targets, keyring = Targets(resources.database, open_store), resources.keyring
    creating = Creating(resources.database, keyring, resources.stores, metadata, revision)
    pruning, rewrapping = Pruning(resources.database, keyring), HeaderRewrapping(resources.database, keyring)
    handlers = BackupJobs(targets, creating, pruning, rewrapping)
    return Backups(targets, handlers, resources.database, resources)


def _listed(backup: catalogue.Backup) -> Listed:
    header = backup.header
    if header is None:
        return Listed(None, None, None, None, backup.header_key, backup.problem)
    length = (header.snapshot.stored_length or 0) + (header.bundle.stored_length or 0)
    return Listed(header.id, header.created_at, header.key.provider_key_id, length, backup.header_key, backup.problem)
