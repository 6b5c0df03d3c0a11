"""Keys for administrators and the command line: their status, new data keys, and the jobs on all of them.

Comes in: a principal, or the actor of the command line. Leaves: a `KeysStatus`, counts or a job, and an audit row for
each change. Next: `key_jobs` does the jobs, `keyring`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, NotFound
from portal.core.key_scopes import scope_of
from portal.core.principal import Origin
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.admin import key_rows
from portal.features.admin.acting import actor_of, require
from portal.features.admin.key_jobs import RESEAL, REWRAP, VERIFY, KeyJobs
from portal.features.admin.key_views import KeysStatus, KeyStatus, MasterKey, SealedCount
from portal.features.admin.master_keys import master_keys
from portal.features.admin.sealed_secrets import SealedSecrets
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.authz.actions import Action
from portal.features.backups import repository as backups
from portal.features.cases import repository as cases
from portal.features.identity.accounts import Actor
from portal.features.identity.authenticators import Authenticators
from portal.features.jobs import queue
from portal.features.jobs import repository as jobs
from portal.features.jobs.views import Job
from portal.features.signing.keys import SigningKeys
from portal.keyring import repository
from portal.keyring.keyring import Keyring
from portal.resources import Resources


class KeyNeeded(Conflict):
    code, title = "key_needed", "Something still needs this master key."


@dataclass(frozen=True, slots=True)
class Rewrapping:
    """How many data keys, of how many scopes, are to be wrapped anew; and the job that does it, unless it was asked
    only.
    """

    data_keys: int
    scopes: int
    job: Job | None


@dataclass(frozen=True, slots=True)
class Resealing:
    """How many secrets are to be sealed anew, and the job that does it, unless it was asked only."""

    outdated: SealedCount
    job: Job | None


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one portal."""

    database: Database
    keyring: Keyring
    sealed: SealedSecrets
    authenticators: Authenticators
    backup_url: str = ""

    @property
    def handlers(self) -> KeyJobs:
        """The handlers of the jobs that `rewrap`, `verify` and `reseal` enqueue."""
        return KeyJobs(self.database, self.keyring, self.sealed, self.backup_url)

    async def status(self, by: Actor) -> KeysStatus:
        """How each master key is and what it protects. Reads all files, and calls no provider. Raises Forbidden."""
        require(by, Action.KEY_MANAGE)
        async with self.database.read() as connection:
            wraps = await repository.count_wraps(connection)
            files = await key_rows.count_files(connection)
            kept = await backups.count_by_key(connection)
            outdated = await self.sealed.count_outdated(connection)
        keys = await master_keys(self.keyring, wraps, files, kept)
        return KeysStatus(keys, outdated.authenticators, outdated.signing_keys)

    async def rewrap(self, by: Actor, origin: Origin, *, dry_run: bool = False) -> Rewrapping:
        """Have every data key brought under the newest master key by a job; if one waits or runs already, by that.

        Raises Forbidden, NotSignedIn, KeyProviderError.
        """
        require(by, Action.KEY_MANAGE)
        newest = await self.keyring.newest()
        async with self.database.read() as connection:
            data_keys, scopes = await repository.count_wrapped_otherwise(connection, newest)
        if dry_run:
            return Rewrapping(data_keys, scopes, None)
        payload = {"key_id": newest.provider_key_id, "data_keys": data_keys}
        return Rewrapping(data_keys, scopes, await self._enqueue(by, origin, REWRAP, payload))

    async def verify(self, by: Actor, origin: Origin) -> Job:
        """Have a job see whether every data key opens at its provider. Raises Forbidden, NotSignedIn."""
        require(by, Action.KEY_MANAGE)
        async with self.database.read() as connection:
            data_keys = await repository.count(connection)
        return await self._enqueue(by, origin, VERIFY, {"data_keys": data_keys})

    async def reseal(self, by: Actor, origin: Origin, *, dry_run: bool = False) -> Resealing:
        """Have what PORTAL_SECRET_KEY seals brought under its newest entry by a job; if one waits or runs, by that.

        Raises Forbidden, NotSignedIn.
        """
        require(by, Action.KEY_MANAGE)
        async with self.database.read() as connection:
            outdated = await self.sealed.count_outdated(connection)
        if dry_run:
            return Resealing(outdated, None)
        payload = {"key_id": self.sealed.key_id, "secrets": outdated.total}
        return Resealing(outdated, await self._enqueue(by, origin, RESEAL, payload))

    async def rotate(self, by: Actor, case_id: UUID | None, origin: Origin, *, dry_run: bool = False) -> int:
        """Retire the active data key of a case, or of every scope: the next upload makes a new one. Returns how many.

        A process that read a key a moment ago uses it for new files for up to `ROW_SECONDS` more. Raises NotFound for
        an unknown case; Forbidden, NotSignedIn.
        """
        require(by, Action.KEY_MANAGE)
        scope = None if case_id is None else scope_of(case_id)
        async with self.database.write() as connection:
            actor = await actor_of(connection, self.authenticators, by, Action.KEY_MANAGE)
            if case_id is not None and await cases.find(connection, case_id) is None:
                raise NotFound
            if dry_run:
                return await repository.count_active(connection, scope)
            retired = await repository.retire_active(connection, scope, clock.now())
            details: dict[str, Detail] = {"case_id": None if case_id is None else str(case_id), "data_keys": retired}
            await record.write(connection, Event(EventKind.DATA_KEYS_ROTATED, actor, None, origin, details))
        return retired

    async def retire(self, by: Actor, key_id: str, origin: Origin) -> None:
        """Say on record that nothing needs a master key any more. Raises KeyNeeded, which says what does; NotFound."""
        await self.require_unneeded(by, key_id)
        async with self.database.write() as connection:
            actor = await actor_of(connection, self.authenticators, by, Action.KEY_MANAGE)
            await self.put_retired(connection, actor, key_id, origin)

    async def require_unneeded(self, by: Actor, key_id: str) -> None:
        """Raises KeyNeeded while anything needs the master key, NotFound for an unknown one, Forbidden."""
        found = {key.key_id: key for key in (await self.status(by)).master_keys}
        if key_id not in found:
            raise NotFound
        _require_unneeded(found[key_id])

    async def put_retired(self, connection: Connection, actor: str, key_id: str, origin: Origin) -> None:
        """Say on record that nothing needs the master key any more, which the caller knows.

        Raises KeyNeeded where it has wrapped a data key since the caller looked.
        """
        if await repository.is_used(connection, key_id):
            raise KeyNeeded("It has just wrapped a data key: restart every portal with the new settings first.")
        await record.write(connection, Event(EventKind.MASTER_KEY_RETIRED, actor, key_id, origin))

    async def record_split(self, by: Actor, key_id: str, origin: Origin, *, shares: int, threshold: int) -> None:
        """Put on record that a master key is split. Whoever shows the shares calls it before. Raises Forbidden."""
        require(by, Action.KEY_MANAGE)
        details: dict[str, Detail] = {"shares": shares, "threshold": threshold}
        async with self.database.write() as connection:
            actor = await actor_of(connection, self.authenticators, by, Action.KEY_MANAGE)
            await record.write(connection, Event(EventKind.MASTER_KEY_SPLIT, actor, key_id, origin, details))

    async def _enqueue(self, by: Actor, origin: Origin, kind: str, payload: Mapping[str, Any]) -> Job:
        """A new job of the kind, on record; or the one that waits or runs already."""
        key = payload.get("key_id", kind)
        async with self.database.write() as connection:
            actor = await actor_of(connection, self.authenticators, by, Action.KEY_MANAGE)
            job_id = await queue.enqueue(connection, kind, payload, created_by=actor, unique_key=key)
            if job_id is not None:
                event = Event(EventKind.KEY_JOB_REQUESTED, actor, str(job_id), origin, {"kind": kind, **payload})
                await record.write(connection, event)
            job = await jobs.find_unfinished(connection, kind, key)
        if job is None:
            raise Conflict("The job has just ended; try again.")
        return job


def build(resources: Resources, authenticators: Authenticators, signing: SigningKeys, backup_url: str) -> Keys:
    """Build the service on one set of resources. `backup_url` is that of the target of backups; empty for none."""
    sealed = SealedSecrets(resources.database, resources.secret_keys, signing)
    return Keys(resources.database, resources.keyring, sealed, authenticators, backup_url)


def _require_unneeded(key: MasterKey) -> None:
    if key.wraps and key.status is not KeyStatus.NOT_CONFIGURED:
        raise KeyNeeded("It wraps new data keys: put another provider in front of it and restart every portal first.")
    if key.data_keys:
        text = f"It wraps {key.data_keys} data key(s), which protect {key.files} file(s), {key.bytes} bytes"
        raise KeyNeeded(f"{text}: run `portal keys rewrap` first.")
    if key.backups:
        raise KeyNeeded(f"It wraps the keys of {key.backups} backup(s): run `portal backup rewrap` first.")
