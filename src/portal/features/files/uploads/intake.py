"""Intake: receives an upload and seals its bytes as they arrive. Other callers see the file only when it is complete.

Comes in: a principal and an `IncomingFile` (bytes and metadata). Leaves: a `FileView`.

A large file takes two transactions. The first writes the row as PENDING, under a lease. No transaction is open while
bytes arrive. The second makes the row READY or QUARANTINED, with its file record and its audit event. A small file is
sealed in memory, and a single transaction writes rows, bytes, file record and audit event.

Between the last byte and the commit of the blob, `decision` decides on the content. `cleanup` removes what a failed
upload leaves, and `maintenance` what a crash leaves.
"""

import hashlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any
from uuid import UUID

from portal.core import clock
from portal.core.buffer import Buffer
from portal.core.errors import Conflict, NotFound
from portal.core.ids import new_id
from portal.core.principal import Origin, Principal
from portal.core.tasks import shielded
from portal.crypto.format import BlobContext
from portal.db.connection import Connection
from portal.db.lease import LEASE
from portal.db.unit_of_work import Database, DatabaseAway
from portal.features.audit import record
from portal.features.audit.record import Recorder
from portal.features.authz import policy
from portal.features.authz.actions import Action
from portal.features.authz.relation import INBOX
from portal.features.files import availability, blob_rows, repository
from portal.features.files.access import load_allowed, require_in_case, require_upload_target
from portal.features.files.models import Status
from portal.features.files.removal import fail_expired
from portal.features.files.transfers import UNBOUNDED, Transfers
from portal.features.files.uploads.attempt import (
    KeyReused,
    OnUploadCommitted,
    SealedContent,
    UploadAttempt,
    UploadGone,
    compare,
    require_same,
)
from portal.features.files.uploads.cleanup import FailedUploads
from portal.features.files.uploads.decision import ContentPolicy, decide, rejection
from portal.features.files.uploads.lease import UploadLost, leased, until
from portal.features.files.views import FileView, IncomingFile
from portal.features.identity.authenticators import Authenticators
from portal.strongbox.model import SealedFile
from portal.strongbox.sealing import Sealing
from portal.strongbox.strongbox import Strongbox


class InFlight(Conflict):
    code, title = "idempotency_in_flight", "A request with this Idempotency-Key is still running."
    retry_after = 5


class Intake:
    """Safe for concurrent use."""

    def __init__(
        self,
        database: Database,
        strongbox: Strongbox,
        authenticators: Authenticators,
        recorder: Recorder,
        transfers: Transfers = UNBOUNDED,
        *,
        max_bytes: int,
        row_bytes: int,
        content_policy: ContentPolicy,
    ) -> None:
        """A body with an announced length of at most `row_bytes` bytes is stored inline, in one transaction."""
        self._database = database
        self._strongbox = strongbox
        self._authenticators = authenticators
        self._transfers = transfers
        self._max_bytes = max_bytes
        self._row_bytes = row_bytes
        self._content_policy = content_policy
        self._failed_uploads = FailedUploads(database, strongbox, recorder)

    def limit_for(self, principal: Principal, case_id: UUID | None) -> int:  # noqa: ARG002  # one limit for all, today
        """The most bytes of one file that the principal may upload to the case or inbox. No other place has a limit."""
        return self._max_bytes

    async def receive(
        self,
        principal: Principal,
        arrival: IncomingFile,
        origin: Origin,
        *,
        idempotency_key: str | None = None,
        counted: OnUploadCommitted | None = None,
    ) -> FileView:
        """Receive one file, or return the file that was already uploaded with this idempotency key.

        Raises, and then stores nothing of this upload:
        Forbidden, NotSignedIn, NotFound, CaseReadOnly for the caller's rights;
        TooManyTransfers, WorkerBusy for a transfer without a place;
        InvalidInput, TooLarge, DigestMismatch, ContentRejected, ClientGone for the request and its content;
        InFlight, KeyReused, UploadGone for the idempotency key;
        StorageFull, Unavailable (UploadLost among them) for the storage; and any error of `counted`.
        """
        policy.require(principal, Action.FILE_CREATE)
        context, inline = BlobContext(file_id=new_id(), blob_id=new_id()), self._is_small(arrival)
        upload = UploadAttempt(principal, arrival, origin, context, clock.now(), idempotency_key, counted, inline)
        if inline:
            await self._require_place(principal, arrival.case_id)
            return await self._settled(upload, self._take_inline(upload))
        with self._transfers.place(principal):
            return await self._settled(upload, self._take_in_pieces(upload))

    async def _settled(self, upload: UploadAttempt, work: Coroutine[Any, Any, FileView]) -> FileView:
        """Return the result of `work`. If it fails, clean the upload up and raise the same error."""
        try:
            return await work
        except (InFlight, KeyReused, UploadGone):
            raise  # the key belongs to another upload: this one has stored nothing
        except DatabaseAway as away:
            # The outcome of the last commit is unknown. The row decides, in the background; the blob stays until then.
            self._failed_uploads.later(upload, away)
            raise
        except BaseException as error:  # also if cancelled in transaction 1: its row may exist by now
            await shielded(self._failed_uploads.now(upload, error))
            raise

    def _is_small(self, arrival: IncomingFile) -> bool:
        return self._row_bytes > 0 and arrival.content_length is not None and arrival.content_length <= self._row_bytes

    async def _require_place(self, principal: Principal, case_id: UUID | None) -> None:
        """Check the target before the first byte is read, and before keys are made for a case that does not exist.

        The transaction of the upload checks it again.
        """
        if case_id is None:
            policy.require_on(principal, Action.FILE_CREATE, INBOX)
            return
        async with self._database.read() as connection:
            await require_in_case(connection, principal, Action.FILE_CREATE, case_id)

    async def _take_inline(self, upload: UploadAttempt) -> FileView:
        known = await self._seal(upload, upload.arrival.chunks())
        return await shielded(self._keep(upload, known))

    async def _keep(self, upload: UploadAttempt, known: SealedContent) -> FileView:
        """The one transaction of an inline upload."""
        row = upload.new_row() | known.row(upload.arrival)
        async with self._database.write() as connection:
            await self._judge_again(connection, upload)
            row["available_at"] = await availability.stamp(connection)
            earlier = await _claim(connection, upload, row)
            if earlier is None:
                for part in known.sealed.parts:
                    await blob_rows.add_part(connection, part)
                return await _put_on_record(connection, upload, repository.view_of(row))
        require_same(earlier, upload.arrival, known.details, known.sealed.sha256)
        return earlier

    async def _take_in_pieces(self, upload: UploadAttempt) -> FileView:
        earlier = await self._begin(upload)
        if earlier is not None:
            return await _repeat(earlier, upload.arrival)
        async with leased(self._database, upload.context.file_id) as lost:
            known = await self._seal(upload, until(lost, upload.arrival.chunks()))
            return await shielded(self._settle(upload, known))

    async def _begin(self, upload: UploadAttempt) -> FileView | None:
        """Transaction 1. Returns the file that was already uploaded with the idempotency key, or None."""
        row = upload.new_row() | {"lease_until": upload.asked_at + LEASE}
        async with self._database.write() as connection:
            await require_upload_target(connection, upload.principal, upload.arrival.case_id)
            earlier = await _claim(connection, upload, row)
            if earlier is None:
                await blob_rows.add_blob(connection, upload.context, self._strongbox.store_id)
            return earlier

    async def _seal(self, upload: UploadAttempt, chunks: AsyncIterator[Buffer]) -> SealedContent:
        """Seal all bytes, then check the client's metadata, then decide. The blob is committed last.

        Raises DigestMismatch, ContentRejected, and the errors of the strongbox and of the upload's chunks.
        """
        async with self._sealing(upload) as sealing:
            async for chunk in chunks:
                await sealing.write(chunk)
            findings = await sealing.finish()
            details = await upload.arrival.details()
            compare(details, findings.sha256)
            decision = decide(findings, self._content_policy)
            if decision.status is Status.REJECTED:
                raise rejection(decision, findings)
            part = await sealing.commit()
        context, scope = part.context, upload.scope
        file = SealedFile(context.file_id, scope, part.data_key_id, findings.size, findings.sha256, b"", (part,))
        return SealedContent(replace(file, record=await self._strongbox.record(file)), findings, details, decision)

    def _sealing(self, upload: UploadAttempt) -> AbstractAsyncContextManager[Sealing]:
        limit = self.limit_for(upload.principal, upload.arrival.case_id)
        return self._strongbox.sealing(
            upload.context,
            upload.scope,
            limit=min(limit, self._row_bytes) if upload.inline else limit,
            inline=upload.inline,
            scan_required=self._content_policy.scan_required,
        )

    async def _settle(self, upload: UploadAttempt, known: SealedContent) -> FileView:
        """Transaction 2: check the rights again, complete the row, write the audit event. Raises UploadLost."""
        async with self._database.write() as connection:
            await self._judge_again(connection, upload)
            for part in known.sealed.parts:
                await blob_rows.store_part(connection, part)
            row = known.row(upload.arrival) | {"available_at": await availability.stamp(connection)}
            view = await repository.finish(connection, upload.context.file_id, row)
            if view is None:
                raise UploadLost
            return await _put_on_record(connection, upload, view)

    async def _judge_again(self, connection: Connection, upload: UploadAttempt) -> None:
        """Check the caller's rights again, after the bytes. Raises NotSignedIn, Forbidden, NotFound, CaseReadOnly."""
        still = await self._authenticators.reauthenticate(connection, upload.principal)
        policy.require(still, Action.FILE_CREATE)
        await require_upload_target(connection, still, upload.arrival.case_id)


async def _claim(connection: Connection, upload: UploadAttempt, row: dict[str, Any]) -> FileView | None:
    """Insert the file's row and return None; or return the file that was already uploaded with the idempotency key.

    An earlier upload with that key whose lease has expired is failed, and this one replaces it. Raises InFlight if the
    earlier upload is still running; UploadGone if its file was deleted or is no longer visible to the caller.
    """
    if await repository.add(connection, row):
        return None
    principal = upload.principal
    earlier = await repository.find_by_idempotency_key(connection, principal.user_id, upload.stored_key or "")
    if earlier is not None and earlier.listed:
        try:
            return await load_allowed(connection, principal, Action.FILE_READ, earlier.id)
        except NotFound:
            raise UploadGone from None  # the file is not found, not the target
    if earlier is not None and earlier.status is Status.DELETED:
        raise UploadGone
    if earlier is None or not await fail_expired(connection, earlier.id, clock.now(), principal.actor, upload.origin):
        raise InFlight
    if not await repository.add(connection, row):
        raise InFlight  # another request with the key was faster
    return None


async def _put_on_record(connection: Connection, upload: UploadAttempt, view: FileView) -> FileView:
    if upload.counted is not None:
        await upload.counted(connection, view)
    await record.write(connection, upload.uploaded_event(view))
    return view


async def _repeat(earlier: FileView, arrival: IncomingFile) -> FileView:
    """Handle a retry of a finished upload: read the file, compare it with the first, and store nothing.

    Returns the earlier file. Raises DigestMismatch, KeyReused.
    """
    digest = hashlib.sha256()
    async for chunk in arrival.chunks():
        digest.update(chunk)
    details = await arrival.details()
    compare(details, digest.digest())
    require_same(earlier, arrival, details, digest.digest())
    return earlier
