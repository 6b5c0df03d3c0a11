"""Intake: a file comes in, is sealed on the way, and is there for others only when everything about it is settled.

Comes in: a principal and an `Arrival` (bytes and what the client says of them). Leaves: a `FileView`. Transaction 1
writes the row PENDING under a lease, no transaction is open while bytes flow, transaction 2 makes it READY or
QUARANTINED with its record and its audit row. `maintenance` settles what a crash leaves.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from portal.backends.scanners.base import Outcome
from portal.core import clock, log
from portal.core.buffer import Buffer
from portal.core.errors import Conflict, DigestMismatch, PortalError, StorageFull, Unavailable, Unprocessable
from portal.core.ids import new_id
from portal.core.principal import Action, Origin, Principal, Scope, scope_of
from portal.core.tasks import aside, uninterrupted
from portal.crypto.format import Place
from portal.db.unit_of_work import Database, DatabaseAway
from portal.features.audit import record
from portal.features.audit.events import Event, EventKind
from portal.features.authz import policy
from portal.features.files import repository
from portal.features.files.catalog import allowed, expire, remove_bytes, require_place, text_of
from portal.features.files.models import Status
from portal.features.files.repository import NewFile
from portal.features.files.views import Arrival, Details, FileView
from portal.features.identity.callers import Callers
from portal.strongbox.model import Findings, SealedFile, SealedPart
from portal.strongbox.strongbox import Strongbox

LEASE = timedelta(seconds=60)
_RENEW_SECONDS = LEASE.total_seconds() / 3
_ASK_SECONDS = 1.0  # how often a database that is away is asked what became of an upload
_ASK_TIMES = int(LEASE.total_seconds() / _ASK_SECONDS)  # from then on the row is anybody's to settle
_DELIVERABLE = {Outcome.CLEAN, Outcome.NOT_SCANNED}

Counted = Callable[[AsyncConnection, FileView], Awaitable[None]]  # in transaction 2; what it raises leaves nothing

_log = log.get(__name__)


class InFlight(Conflict):
    code, title = "idempotency_in_flight", "A request with this Idempotency-Key is still running."
    retry_after = 5


class KeyReused(Unprocessable):
    code, title = "idempotency_mismatch", "This Idempotency-Key was used for another file or other details."


class UploadLost(Unavailable):
    code, title = "upload_lost", "The upload took too long to be settled and was given up; send it again."


class Intake:
    """Safe for concurrent use."""

    def __init__(self, database: Database, strongbox: Strongbox, callers: Callers, *, max_bytes: int) -> None:
        self._database = database
        self._strongbox = strongbox
        self._callers = callers
        self._max_bytes = max_bytes

    async def take_in(
        self,
        principal: Principal,
        arrival: Arrival,
        origin: Origin,
        *,
        idempotency_key: str | None = None,
        counted: Counted | None = None,
    ) -> FileView:
        """Take one file in, or give the one that this idempotency key already brought.

        Raises Forbidden, NotSignedIn, TooLarge, DigestMismatch, ClientGone, StorageFull, Unavailable, InFlight,
        KeyReused, and what `counted` raises; then nothing is kept.
        """
        policy.require(principal, Action.FILE_CREATE)
        place = Place(file_id=new_id(), blob_id=new_id())
        try:
            earlier = await self._begin(principal, place, arrival, origin, idempotency_key)
            if earlier is None:
                return await self._take_in(principal, place, arrival, origin, counted)
        except DatabaseAway as away:
            # Whether a commit took effect is unknown: the blob stays, the row decides, and nobody waits for that.
            aside(self._find_out(principal, place, origin, away))
            raise
        except BaseException as error:  # also cut off in transaction 1: its row may be there by now
            await uninterrupted(self._give_up(principal, place, origin, error))
            raise
        return await self._repeat(earlier, arrival)

    async def _take_in(
        self, principal: Principal, place: Place, arrival: Arrival, origin: Origin, counted: Counted | None
    ) -> FileView:
        """What is between the two transactions, and the second."""
        async with self._leased(place) as lost:
            part, findings, details = await self._seal(place, arrival, lost)
            sealed = await self._bind(scope_of(arrival.case_id), part, findings)
            return await uninterrupted(self._settle(principal, arrival, origin, sealed, findings, details, counted))

    async def _begin(
        self, principal: Principal, place: Place, arrival: Arrival, origin: Origin, key: str | None
    ) -> FileView | None:
        """Transaction 1. Returns the file that `key` already brought, if it did; an upload that died is taken over."""
        now = clock.now()
        new = NewFile(
            id=place.file_id,
            owner_id=principal.user_id,
            case_id=arrival.case_id,
            scope=scope_of(arrival.case_id),
            name=arrival.name,
            declared_type=arrival.declared_type,
            created_at=now,
            lease_until=now + LEASE,
            idempotency_key=key,
            uploaded_by=principal.actor,
        )
        async with self._database.write() as connection:
            await require_place(connection, principal, arrival.case_id)
            if not await repository.add_pending(connection, new):
                earlier = await repository.find_by_idempotency_key(connection, principal.user_id, key or "")
                if earlier is not None and earlier.listed:
                    return await allowed(connection, principal, Action.FILE_READ, earlier.id)
                if earlier is None or not await expire(connection, earlier.id, now, principal.actor, origin):
                    raise InFlight
                if not await repository.add_pending(connection, new):
                    raise InFlight  # so did another, and was faster
            await repository.add_blob(connection, place, self._strongbox.store.label)
            return None

    async def _seal(self, place: Place, arrival: Arrival, lost: asyncio.Event) -> tuple[SealedPart, Findings, Details]:
        said: list[Details] = []

        async def approve(findings: Findings) -> None:
            said.append(await arrival.details())
            _compare(said[0], findings.sha256)

        part, findings = await self._strongbox.seal(
            place, scope_of(arrival.case_id), _until(lost, arrival.chunks()), limit=self._max_bytes, approve=approve
        )
        return part, findings, said[0]

    async def _bind(self, scope: Scope, part: SealedPart, findings: Findings) -> SealedFile:
        file_id, key_id = part.place.file_id, part.data_key_id
        unbound = SealedFile(file_id, scope, key_id, findings.size, findings.sha256, b"", (part,))
        return replace(unbound, record=await self._strongbox.record(unbound))

    async def _settle(
        self,
        principal: Principal,
        arrival: Arrival,
        origin: Origin,
        sealed: SealedFile,
        findings: Findings,
        details: Details,
        counted: Counted | None,
    ) -> FileView:
        """Transaction 2: judged again, settled, on record, committed."""
        async with self._database.write() as connection:
            still = await self._callers.again(connection, principal)
            policy.require(still, Action.FILE_CREATE)
            await require_place(connection, still, arrival.case_id)
            for part in sealed.parts:
                await repository.store_part(connection, part)
            values = _settled_values(arrival, sealed, findings, details)
            view = await repository.finish(connection, sealed.file_id, values)
            if view is None:
                raise UploadLost
            if counted is not None:
                await counted(connection, view)
            event = Event(
                EventKind.FILE_UPLOADED,
                principal.actor,
                str(sealed.file_id),
                origin,
                {
                    "sha256": sealed.sha256.hex(),
                    "size": sealed.size,
                    "status": values["status"],
                    "case": text_of(arrival.case_id),
                },
            )
            await record.write(connection, event)
        return view

    async def _give_up(self, principal: Principal, place: Place, origin: Origin, error: BaseException) -> None:
        """Let nothing be kept; now where it can be, else when the database is back, else by the sweep."""
        try:
            await self._undo(principal, place, origin, error)
        except DatabaseAway:
            aside(self._find_out(principal, place, origin, error))
        except (Unavailable, StorageFull) as other:
            _log.warning("upload_left_to_sweep", file_id=str(place.file_id), error=type(other).__name__)

    async def _find_out(self, principal: Principal, place: Place, origin: Origin, error: BaseException) -> None:
        """Ask the database until it answers: the lease is for processes that died, and a client may come again soon."""
        left = "DatabaseAway"
        for _ in range(_ASK_TIMES):
            try:
                await uninterrupted(self._undo(principal, place, origin, error))
                return
            except DatabaseAway:
                await asyncio.sleep(_ASK_SECONDS)
            except Exception as other:  # noqa: BLE001  # whatever it is, nobody waits to hear of it
                left = type(other).__name__
                break
        _log.warning("upload_left_to_sweep", file_id=str(place.file_id), error=left)

    async def _undo(self, principal: Principal, place: Place, origin: Origin, error: BaseException) -> None:
        """Fail what is still pending, on record, and remove its bytes; a file that stands is left alone."""
        reason = error.code if isinstance(error, PortalError) else type(error).__name__
        event = Event(EventKind.FILE_UPLOAD_FAILED, principal.actor, str(place.file_id), origin, {"reason": reason})
        async with self._database.write() as connection:
            if await repository.fail(connection, place.file_id):
                await record.write(connection, event)
            else:
                now = await repository.find(connection, place.file_id)
                if now is None or now.listed:
                    return  # transaction 1 did not take effect, or transaction 2 did: the file stands
        await self._strongbox.destroy(place.blob_id.hex)  # also where a sweep forgot its row before it was there
        await remove_bytes(self._database, self._strongbox, place.file_id)

    async def _repeat(self, earlier: FileView, arrival: Arrival) -> FileView:
        """The client sends the file again: it is read and compared, and never kept twice."""
        digest = hashlib.sha256()
        async for chunk in arrival.chunks():
            digest.update(chunk)
        details = await arrival.details()
        _compare(details, digest.digest())
        if _request_digest(arrival, details, digest.digest()) != earlier.request_digest:
            raise KeyReused
        return earlier

    @asynccontextmanager
    async def _leased(self, place: Place) -> AsyncIterator[asyncio.Event]:
        """Renews the lease meanwhile; the event is set when a sweep took the upload."""
        lost = asyncio.Event()
        renewal = asyncio.create_task(self._renew(place, lost))
        try:
            yield lost
        finally:
            renewal.cancel()
            await asyncio.wait([renewal])

    async def _renew(self, place: Place, lost: asyncio.Event) -> None:
        while not lost.is_set():
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                async with self._database.write() as connection:
                    if not await repository.renew_lease(connection, place.file_id, clock.now() + LEASE):
                        lost.set()
            except Exception as error:  # noqa: BLE001  # the next round may succeed; the last word is transaction 2's
                _log.warning("lease_not_renewed", file_id=str(place.file_id), error=type(error).__name__)


async def _until(lost: asyncio.Event, chunks: AsyncIterator[Buffer]) -> AsyncIterator[Buffer]:
    """The chunks, as long as the upload is still ours."""
    async for chunk in chunks:
        if lost.is_set():
            raise UploadLost
        yield chunk


def _compare(details: Details, sha256: bytes) -> None:
    if details.sha256 is not None and not hmac.compare_digest(details.sha256, sha256):
        raise DigestMismatch


def _settled_values(arrival: Arrival, sealed: SealedFile, findings: Findings, details: Details) -> dict[str, Any]:
    deliverable = findings.verdict.outcome in _DELIVERABLE
    return {
        "kind": details.kind.value,
        "description": details.description,
        "detected_type": findings.detected_type,
        "size": sealed.size,
        "sha256": sealed.sha256.hex(),
        "status": (Status.READY if deliverable else Status.QUARANTINED).value,
        "verdict": findings.verdict.outcome.value,
        "verdict_detail": findings.verdict.detail or None,
        "data_key_id": sealed.data_key_id,
        "record": sealed.record,
        "request_digest": _request_digest(arrival, details, sealed.sha256),
    }


def _request_digest(arrival: Arrival, details: Details, content: bytes) -> str:
    said = [arrival.name, arrival.declared_type, details.kind.value, details.description, content.hex()]
    said += [] if arrival.case_id is None else [str(arrival.case_id)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
