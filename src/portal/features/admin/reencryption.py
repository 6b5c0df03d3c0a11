"""New keys and new blobs for files, for administrators and the command line.

Comes in: a principal, or the actor of the command line; which files. Leaves: how many they are, and the job that does
it. Next: `reencrypt_job`.
"""

from dataclasses import dataclass
from hashlib import sha256

from portal.core.errors import Conflict, InvalidInput, NotFound
from portal.core.principal import Origin
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.admin.acting import actor_of, require
from portal.features.admin.keys import KeyNeeded
from portal.features.admin.reencrypt_job import REENCRYPT, ReencryptJob, Wanted
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.authz.actions import Action
from portal.features.cases import repository as cases
from portal.features.files import repository as files
from portal.features.files import selection
from portal.features.files.reencrypt import Reencryption
from portal.features.identity.accounts import Actor
from portal.features.identity.authenticators import Authenticators
from portal.features.jobs import queue
from portal.features.jobs import repository as jobs
from portal.features.jobs.running import RunningJob
from portal.features.jobs.views import Job, as_text
from portal.keyring.keyring import Keyring
from portal.resources import Resources


@dataclass(frozen=True, slots=True)
class Reencrypting:
    """How many files are to get new keys, and how many bytes they have; and the job that does it, unless it was asked
    only.
    """

    files: int
    bytes: int
    job: Job | None


@dataclass(frozen=True, slots=True)
class FileKeys:
    """The keys of files."""

    database: Database
    keyring: Keyring
    reencryption: Reencryption
    authenticators: Authenticators

    async def handle(self, job: RunningJob) -> None:
        """The handler of the job that `reencrypt` enqueues."""
        await ReencryptJob(self.database, self.keyring, self.reencryption).run(job)

    async def reencrypt(self, by: Actor, wanted: Wanted, origin: Origin, *, dry_run: bool = False) -> Reencrypting:
        """Have these files copied into new blobs under new keys by a job. Jobs of other selections wait for each other.

        Raises InvalidInput if nothing is selected, KeyNeeded for the first master key; NotFound for an unknown
        file, case or key; Forbidden, NotSignedIn.
        """
        require(by, Action.KEY_MANAGE)
        self._require_sound(wanted)
        async with self.database.read() as connection:
            await _require_known(connection, wanted)
            found, size = await selection.count(connection, await wanted.selection(connection))
        if dry_run:
            return Reencrypting(found, size, None)
        return Reencrypting(found, size, await self._enqueue(by, origin, wanted, found, size))

    def _require_sound(self, wanted: Wanted) -> None:
        if not any((wanted.file_id, wanted.case_id, wanted.sealed_before, wanted.key_id)):
            raise InvalidInput("Say which files: by file, case, time or key.")
        if wanted.key_id == self.keyring.provider_key_ids[0]:
            text = "It wraps new data keys: put another provider in front of it and restart every portal first."
            raise KeyNeeded(text)

    async def _enqueue(self, by: Actor, origin: Origin, wanted: Wanted, found: int, size: int) -> Job:
        """A new job, on record; or the one of the same selection that waits or runs already."""
        payload = wanted.payload | {"files": found, "bytes": size}
        key = sha256(as_text(wanted.payload | {"mib_per_second": None}).encode()).hexdigest()
        async with self.database.write() as connection:
            actor = await actor_of(connection, self.authenticators, by, Action.KEY_MANAGE)
            job_id = await queue.enqueue(connection, REENCRYPT, payload, created_by=actor, unique_key=key)
            if job_id is not None:
                details = {"kind": REENCRYPT, **payload}
                await record.write(connection, Event(EventKind.KEY_JOB_REQUESTED, actor, str(job_id), origin, details))
            job = await jobs.find_unfinished(connection, REENCRYPT, key)
        if job is None:
            raise Conflict("The job has just ended; try again.")
        return job


async def _require_known(connection: Connection, wanted: Wanted) -> None:
    if wanted.case_id is not None and await cases.find(connection, wanted.case_id) is None:
        raise NotFound
    if wanted.file_id is not None:
        file = await files.find(connection, wanted.file_id)
        if file is None or not file.listed:
            raise NotFound


def build(resources: Resources, authenticators: Authenticators) -> FileKeys:
    """Build the service on one set of resources."""
    reencryption = Reencryption(resources.database, resources.strongbox, grace=resources.delete_grace)
    return FileKeys(resources.database, resources.keyring, reencryption, authenticators)
