"""Shredding a case: its keys go in the first transaction, its files and blobs in a job, which ends with the receipt.

Comes in: a closed case, and who asked. Leaves: a case that says it is shredded, and a signed receipt.

The first transaction sets the status `shredded`, which refuses every upload, move, change and download from then on,
and deletes the data keys: nothing in the case opens any more. All that follows only tidies up, may be cut off anywhere,
and goes on from the rows that are left. The receipt is written last, in the transaction that saw nothing left.
"""

from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from portal.core import clock
from portal.core.errors import Conflict, NotFound, StorageFull, Unavailable
from portal.core.ids import new_id
from portal.core.key_scopes import scope_of
from portal.core.principal import NOWHERE, Origin
from portal.db.connection import Connection
from portal.db.unit_of_work import Database
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.authz.policy import CaseShredded
from portal.features.authz.relation import CaseStatus
from portal.features.cases import relations
from portal.features.cases import repository as cases
from portal.features.cases.views import CaseView
from portal.features.custody import receipts, repository
from portal.features.custody.views import Receipt, ShreddedFile, ShredderNames, Shredding
from portal.features.files import removal
from portal.features.files import repository as files
from portal.features.files.blob_rows import AT_ONCE
from portal.features.files.models import Status
from portal.features.jobs import queue
from portal.features.jobs import repository as jobs
from portal.features.jobs.running import JobFailed, RunningJob
from portal.features.jobs.views import Job
from portal.features.signing.keys import SigningKeys
from portal.keyring import repository as data_keys
from portal.keyring.keyring import Keyring
from portal.strongbox.strongbox import Strongbox

SHRED: Final = "cases.shred"
ATTEMPTS: Final = 5  # of the job: at the last one the receipt names the blobs that are left
_PAGE: Final = 50


class CaseStillOpen(Conflict):
    code, title = "case_still_open", "Only a closed or archived case is shredded: close it first."


@dataclass(frozen=True, slots=True)
class Shredder:
    """Shreds cases. Safe beside running uploads, downloads, moves and another shredding."""

    database: Database
    strongbox: Strongbox
    keyring: Keyring
    signing: SigningKeys

    async def begin(self, connection: Connection, case_id: UUID, names: ShredderNames, origin: Origin) -> Job:
        """The first transaction. Returns the job that does the rest. Raises NotFound, CaseStillOpen, CaseShredded."""
        await relations.lock_case(connection, case_id, exclusive=True)
        case = await shreddable(connection, case_id)
        await cases.change(connection, case_id, case.version, {"status": CaseStatus.SHREDDED.value})
        keys = await self._destroy_keys(connection, case_id)
        shredding = Shredding(new_id(), case_id, case.number, names, clock.now(), 0, keys, None)
        await repository.add(connection, shredding)
        details: dict[str, Detail] = {"number": case.number, "data_keys": len(keys)}
        details |= {"requested_by": names.requested_by, "approved_by": names.approved_by}
        began = Event(EventKind.CASE_SHRED_BEGUN, shredding.actor, str(case_id), origin, details)
        await record.write(connection, began)
        return await job_of(connection, shredding)

    async def run(self, job: RunningJob) -> None:
        """The handler of the job. Raises Unavailable, StorageFull; JobFailed for a case that is not being shredded."""
        case_id = UUID(job.payload["case_id"])
        async with self.database.read() as connection:
            shredding = await repository.find(connection, case_id)
        if shredding is None:
            raise JobFailed("the case is not being shredded")
        if shredding.receipt_id is not None:
            return
        done = 0
        while gone := await self._empty_page(job, shredding, done):
            done += gone
        try:
            await self._remove_blobs(shredding)
        except (Unavailable, StorageFull):
            if job.job.attempts < ATTEMPTS:
                raise
        await self._finish(job, case_id, done)

    async def _empty_page(self, job: RunningJob, shredding: Shredding, done: int) -> int:
        """Destroy the keys and records of some files, end running uploads. Returns their number, 0 if none is left."""
        async with self.database.write() as connection:
            await relations.lock_case(connection, shredding.case_id, exclusive=True)
            page = await repository.next_files(connection, shredding.case_id, _PAGE)
            uploads = 0
            for row in page:
                if row["status"] == Status.PENDING.value:
                    uploads += await files.fail(connection, row["id"])
                else:
                    await self._destroy_file(connection, shredding, row)
            if uploads:
                now = await repository.find(connection, shredding.case_id)
                ended = uploads + (0 if now is None else now.uploads_ended)
                await repository.change(connection, shredding.id, uploads_ended=ended)
            await job.save(done=done + len(page), connection=connection)
        return len(page)

    async def _destroy_file(self, connection: Connection, shredding: Shredding, row: Any) -> None:
        blobs = await repository.blobs_of(connection, row["id"])
        if not await files.delete(connection, row["id"], row["version"], AT_ONCE):
            raise JobFailed(f"the row of file {row['id']} was edited: see `portal fsck`")
        file = ShreddedFile(row["id"], row["size"], row["sha256"], blobs)
        await repository.add_file(connection, shredding.id, file)
        details: dict[str, Detail] = {"case_id": str(shredding.case_id), "sha256": row["sha256"], "shredded": True}
        event = Event(EventKind.FILE_DELETED, shredding.actor, str(row["id"]), NOWHERE, details)
        await record.write(connection, event)

    async def _remove_blobs(self, shredding: Shredding) -> None:
        """Remove blobs, and mark files of which none is left. Raises the first error, after all were tried."""
        failed: Unavailable | StorageFull | None = None
        after: UUID | None = None
        while True:
            async with self.database.read() as connection:
                page = await repository.files_left(connection, shredding.id, after, _PAGE)
            for file_id in page:
                try:
                    await self._remove_blobs_of(shredding, file_id)
                except (Unavailable, StorageFull) as error:
                    failed = error
            if not page:
                break
            after = page[-1]
        if failed is not None:
            raise failed

    async def _remove_blobs_of(self, shredding: Shredding, file_id: UUID) -> None:
        await removal.remove_due(self.database, self.strongbox, file_id)
        async with self.database.write() as connection:
            if not await repository.has_blobs(connection, file_id):
                await repository.mark_removed(connection, shredding.id, file_id, clock.now())

    async def _finish(self, job: RunningJob, case_id: UUID, done: int) -> None:
        """Sign what is so. A data key that an upload made meanwhile sealed nothing that was kept: it goes too."""
        async with self.database.write() as connection:
            await relations.lock_case(connection, case_id, exclusive=True)
            shredding = await repository.find(connection, case_id)
            if shredding is None or shredding.receipt_id is not None:
                return
            late = await self._destroy_keys(connection, case_id)
            shredding = replace(shredding, data_keys=[*shredding.data_keys, *late])
            now, said = clock.now(), await repository.take_files(connection, shredding.id)
            payload = receipts.payload(shredding, said, now, connection.dialect.name)
            document = await self.signing.sign(connection, receipts.TYPE, payload)
            receipt = Receipt(new_id(), receipts.TYPE, str(case_id), now, document.decode())
            await repository.add_receipt(connection, receipt)
            await repository.change(connection, shredding.id, receipt_id=receipt.id)
            await record.write(connection, _finished(shredding, receipt, payload))
            await job.save(done=done, total=done, checkpoint={"receipt_id": str(receipt.id)}, connection=connection)

    async def _destroy_keys(self, connection: Connection, case_id: UUID) -> list[dict[str, Any]]:
        found = await data_keys.of_scope(connection, scope_of(case_id))
        await data_keys.destroy(connection, [key.id for key in found])
        return [receipts.key_said(key, self.keyring.version_of(key.provider_key_id, key.head)) for key in found]


async def job_of(connection: Connection, shredding: Shredding) -> Job:
    """The job of a shredding that is not over: the one that waits or runs, or a new one, if that was cancelled."""
    key = str(shredding.case_id)
    await queue.enqueue(connection, SHRED, {"case_id": key}, created_by=shredding.actor, unique_key=key)
    job = await jobs.find_unfinished(connection, SHRED, key)
    if job is None:
        raise Conflict("The job has just ended; try again.")
    return job


async def shreddable(connection: Connection, case_id: UUID) -> CaseView:
    """The case, if it can be shredded. Raises NotFound, CaseStillOpen, CaseShredded."""
    case = await cases.find(connection, case_id)
    if case is None:
        raise NotFound
    if case.status is CaseStatus.SHREDDED:
        raise CaseShredded
    if case.status not in {CaseStatus.CLOSED, CaseStatus.ARCHIVED}:
        raise CaseStillOpen
    return case


def _finished(shredding: Shredding, receipt: Receipt, payload: dict[str, Any]) -> Event:
    details: dict[str, Detail] = {"receipt_id": str(receipt.id), "files": len(payload["files"])}
    details |= {"blobs_removed": payload["blobs_removed"], "blobs_left": payload["blobs_left"]}
    return Event(EventKind.CASE_SHREDDED, shredding.actor, str(shredding.case_id), NOWHERE, details)
