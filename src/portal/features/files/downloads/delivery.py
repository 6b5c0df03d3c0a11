"""Delivery: sends a file's verified plaintext to a caller who may download it, and writes the outcome to the audit log.

Comes in: a principal, a file's id, the requested range. Leaves: a `Delivery` whose bytes come segment by segment. One
short transaction checks the rights and writes the event "started" before the first byte. The event of the outcome
follows after the last byte.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from uuid import UUID

from portal.core import log
from portal.core.errors import (
    ClientGone,
    Forbidden,
    IntegrityError,
    NotFound,
    NotSignedIn,
    PortalStopped,
    PreconditionFailed,
    RangeNotSatisfiable,
)
from portal.core.principal import Origin, Principal
from portal.core.ranges import WHOLE_FILE, ByteRange, NotModified, RangeRequest
from portal.core.tasks import acquire_or_release, grace_over, shielded
from portal.db.connection import Connection
from portal.db.unit_of_work import Database, DatabaseAway
from portal.features.audit import record
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.audit.record import Recorder
from portal.features.authz.actions import Action
from portal.features.authz.policy import CaseReadOnly
from portal.features.files import blob_rows, repository
from portal.features.files.access import Quarantined, load_allowed
from portal.features.files.blob_rows import FileMoved
from portal.features.files.downloads.reading import plaintext
from portal.features.files.models import Status
from portal.features.files.transfers import SMALL, UNBOUNDED, Transfers
from portal.features.files.views import FileView
from portal.features.identity.authenticators import Authenticators
from portal.strongbox.model import SealedFile
from portal.strongbox.strongbox import Strongbox

_JUDGED_SECONDS = 1.0
_UNJUDGED_SECONDS = 60.0  # the longest time that a download goes on without a check

_log = log.get(__name__)


class DownloadAllowance(Protocol):
    """The use that a download makes of a counted right, such as a download link with a limit."""

    def held(self) -> AbstractAsyncContextManager[None]:
        """A context that is open while the download runs."""

    async def ended(self, connection: Connection, handed: int, *, finished: bool) -> None:
        """Settle the use, in the transaction of the audit event of the end. At most `handed` bytes have been sent."""


OnDownloadStarted = Callable[[Connection, FileView, ByteRange], Awaitable[DownloadAllowance]]
"""Awaited in the transaction of the audit event "started". If it raises, no event of the download is written."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A download that was allowed and whose start is in the audit log. Read `chunks` once, and close it.

    `judge` raises when the right to it has ended. `chunks` asks it too, but not while their reader is busy.
    """

    file: FileView
    extent: ByteRange
    chunks: AsyncGenerator[memoryview, None]
    judge: Callable[[], Awaitable[None]]


class Deliveries:
    """Safe for concurrent use."""

    def __init__(
        self,
        database: Database,
        strongbox: Strongbox,
        authenticators: Authenticators,
        recorder: Recorder,
        transfers: Transfers = UNBOUNDED,
    ) -> None:
        self._database = database
        self._strongbox = strongbox
        self._authenticators = authenticators
        self._recorder = recorder
        self._transfers = transfers

    async def describe(self, principal: Principal, file_id: UUID) -> FileView:
        """The file that a download would deliver. Its file record is verified; nothing is decrypted or counted.

        Raises NotFound, Forbidden, Quarantined, IntegrityError, Unavailable.
        """
        async with self._database.read() as connection:
            file, sealed = await _readable(connection, principal, file_id)
        await self._verify(sealed)
        return file

    async def start(
        self,
        principal: Principal,
        file_id: UUID,
        origin: Origin,
        asked: RangeRequest = WHOLE_FILE,
        counted: OnDownloadStarted | None = None,
    ) -> Delivery:
        """Check the rights, write the audit event "started", and return the bytes of the requested range.

        `asked` is resolved in the same transaction. Raises NotFound, Forbidden, Quarantined, IntegrityError,
        TooManyTransfers, Unavailable (FileMoved and WorkerBusy among them); NotModified, PreconditionFailed,
        RangeNotSatisfiable by `asked`; and any error of `counted`.
        """
        # A cancelled start may be in the audit log all the same; then its end must be there too.
        return await acquire_or_release(self._begin(principal, file_id, origin, asked, counted), _discard)

    async def _begin(
        self,
        principal: Principal,
        file_id: UUID,
        origin: Origin,
        asked: RangeRequest,
        counted: OnDownloadStarted | None,
    ) -> Delivery:
        sealed: SealedFile | None = None
        async with self._damage_noted(principal, file_id, origin):
            try:
                async with self._database.write() as connection:
                    file, sealed = await _readable(connection, principal, file_id)
                    extent = ByteRange(0, 0) if sealed is None else asked.resolve(file.size or 0, file.content_tag)
                    if extent.length > SMALL:
                        self._transfers.require(principal)
                    use = None if counted is None or sealed is None else await counted(connection, file, extent)
                    said: dict[str, Detail] = {"start": extent.start, "length": extent.length}
                    started = Event(EventKind.FILE_DOWNLOAD_STARTED, principal.actor, str(file_id), origin, said)
                    await record.write(connection, started)
            except (NotModified, PreconditionFailed, RangeNotSatisfiable):
                await self._verify(sealed)  # these errors reveal the file's digest or size; slow, so no transaction
                raise
        judge = _Reauthorizer(self._database, self._authenticators, principal, file_id)
        return Delivery(file, extent, self._recorded(file, sealed, extent, started, judge, use), judge.check)

    async def _verify(self, sealed: SealedFile | None) -> None:
        if sealed is None:
            raise IntegrityError
        await self._strongbox.verify(sealed)

    @asynccontextmanager
    async def _damage_noted(self, principal: Principal, file_id: UUID, origin: Origin) -> AsyncIterator[None]:
        """Write damage that is found at the start to the audit log. The download does not begin."""
        try:
            yield
        except IntegrityError:
            _log.error("file_damaged", file_id=str(file_id), exc_info=True)
            damaged = Event(EventKind.FILE_DAMAGED, principal.actor, str(file_id), origin)
            await shielded(self._recorder.outcome(damaged))
            raise

    async def _recorded(
        self,
        file: FileView,
        sealed: SealedFile | None,
        extent: ByteRange,
        started: Event,
        judge: "_Reauthorizer",
        use: DownloadAllowance | None,
    ) -> AsyncGenerator[memoryview, None]:
        """The bytes, and in every case one audit event with the outcome.

        The outcome is finished, revoked, damaged or broken (any other error). A download that is closed or cancelled
        before its end is portal_stopped or client_gone.
        """
        outcome, sent, handed = "", 0, 0
        try:
            place = self._place(judge.principal, extent, use)
            async with place, aclosing(plaintext(self._database, self._strongbox, sealed, extent)) as pieces:
                async for chunk in pieces:
                    await judge.check()
                    handed += len(chunk)  # the client may receive less
                    yield chunk
                    sent += len(chunk)
                    if sent == extent.length:
                        outcome = "finished"  # the client has all bytes and may disconnect before this loop ends
            outcome = "finished"
        except IntegrityError:
            if await self._is_gone(file):  # deleted during the download: no damage
                outcome = "revoked"
                raise NotFound from None
            outcome = "damaged"
            _log.error("file_damaged", file_id=str(file.id), sent=sent, exc_info=True)
            raise
        except Exception:
            outcome = judge.outcome or "broken"
            raise
        finally:
            outcome = outcome or judge.outcome or (PortalStopped if grace_over.is_set() else ClientGone).code
            details: dict[str, Detail] = {"started": str(started.id), "outcome": outcome, "sent": sent}
            ended = Event(EventKind.FILE_DOWNLOAD_ENDED, started.actor, started.subject, started.origin, details)
            settle = None if use is None else partial(use.ended, handed=handed, finished=outcome == "finished")
            await shielded(self._recorder.outcome(ended, settle))

    @asynccontextmanager
    async def _place(
        self, principal: Principal, extent: ByteRange, use: DownloadAllowance | None
    ) -> AsyncIterator[None]:
        """Hold a place among the transfers, and the counted right, while the download runs."""
        async with AsyncExitStack() as held:
            if extent.length > SMALL:
                held.enter_context(self._transfers.place(principal))
            if use is not None:
                await held.enter_async_context(use.held())
            yield

    async def _is_gone(self, file: FileView) -> bool:
        try:
            async with self._database.read() as connection:
                now = await repository.find(connection, file.id)
        except DatabaseAway:
            return False  # unknown: treated as damage
        return now is None or not now.listed


class _Reauthorizer:
    """Checks the rights to a running download again, at most once a second. A revoked right ends its downloads."""

    def __init__(self, database: Database, authenticators: Authenticators, principal: Principal, file_id: UUID) -> None:
        self._database, self._authenticators = database, authenticators
        self.principal, self._file_id = principal, file_id
        self._last, self._away_since = time.monotonic(), 0.0
        self.outcome = ""  # of the download, once its right has ended

    async def check(self) -> None:
        """Check the rights, unless the last check is less than a second ago.

        Raises NotSignedIn, NotFound, Forbidden, Quarantined, CaseReadOnly. While the database is unavailable, the
        download goes on for 60 seconds; then this raises DatabaseAway.
        """
        if time.monotonic() - self._last < _JUDGED_SECONDS:
            return
        self._last = now = time.monotonic()
        try:
            await shielded(self._judged())  # a cancelled check would lose its database connection
        except DatabaseAway:
            self._away_since = self._away_since or now
            if now - self._away_since >= _UNJUDGED_SECONDS:
                self.outcome = "broken"
                raise
        except (NotSignedIn, NotFound, Forbidden, CaseReadOnly):
            self.outcome = "revoked"
            raise
        else:
            self._away_since = 0.0

    async def _judged(self) -> None:
        async with self._database.read() as connection:
            principal = await self._authenticators.reauthenticate(connection, self.principal)
            await _deliverable(connection, principal, self._file_id)


async def _discard(delivery: Delivery) -> None:
    await anext(delivery.chunks, None)  # a generator that was never started would not write its outcome
    await delivery.chunks.aclose()


async def _deliverable(connection: Connection, principal: Principal, file_id: UUID) -> FileView:
    file = await load_allowed(connection, principal, Action.FILE_DOWNLOAD, file_id)
    if file.status is Status.QUARANTINED:
        raise Quarantined
    return file


async def _readable(connection: Connection, principal: Principal, file_id: UUID) -> tuple[FileView, SealedFile | None]:
    """The file and what opens it. They are read again if its keys were replaced in between. Raises FileMoved."""
    with suppress(FileMoved):
        file = await _deliverable(connection, principal, file_id)
        return file, file.sealed(await blob_rows.parts(connection, file))
    file = await _deliverable(connection, principal, file_id)
    return file, file.sealed(await blob_rows.parts(connection, file))
