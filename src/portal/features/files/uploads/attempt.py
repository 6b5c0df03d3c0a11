"""One upload attempt: the values of its rows and its audit events. Nothing here does I/O.

Comes in: a principal's `IncomingFile`, and the findings of sealing. Leaves: the values of a row, and audit events.
Next: `intake`.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portal.core.errors import Conflict, InvalidInput, PortalError, PortalStopped, Unprocessable
from portal.core.ids import text_of
from portal.core.key_scopes import Scope, scope_of
from portal.core.principal import CredentialKind, Origin, Principal
from portal.crypto.format import BlobContext
from portal.db.connection import Connection
from portal.features.audit.events import Detail, Event, EventKind
from portal.features.files.uploads.decision import ContentRejected, Decision
from portal.features.files.views import Details, FileView, IncomingFile
from portal.strongbox.model import Findings, SealedFile

OnUploadCommitted = Callable[[Connection, FileView], Awaitable[None]]
"""Awaited in the transaction that makes the file READY or QUARANTINED. If it raises, nothing is stored."""


class DigestMismatch(InvalidInput):
    code, title = "digest_mismatch", "The bytes received are not the ones announced; nothing was kept."


class KeyReused(Unprocessable):
    code, title = "idempotency_mismatch", "This Idempotency-Key was used for another file or other details."


class UploadGone(Conflict):
    code = "idempotency_gone"
    title = "The file that this Idempotency-Key brought was deleted or moved away; a new one needs another key."


@dataclass(frozen=True, slots=True)
class UploadAttempt:
    """One request to upload a file."""

    principal: Principal
    arrival: IncomingFile
    origin: Origin
    context: BlobContext
    asked_at: datetime
    idempotency_key: str | None = None
    counted: OnUploadCommitted | None = None
    inline: bool = False  # the bytes are in a row; one transaction writes all rows: none before

    @property
    def scope(self) -> Scope:
        return scope_of(self.arrival.case_id)

    def new_row(self) -> dict[str, Any]:
        """The values of the row before the file's first byte."""
        return {
            "id": self.context.file_id,
            "owner_id": self.principal.user_id,
            "uploaded_by": self.principal.actor,
            "case_id": self.arrival.case_id,
            "scope": self.scope,
            "name": self.arrival.name,
            "declared_type": self.arrival.declared_type,
            "created_at": self.asked_at,
            "idempotency_key": self.stored_key,
        }

    @property
    def stored_key(self) -> str | None:
        """The idempotency key as it is stored. Keys of an API token that is confined to a case have their own space.

        Such a key is stored as "<case id> <SHA-256 of the key>". A key from a client never has a blank, so the two
        forms never collide.
        """
        who, case_id = self.principal, self.principal.case_id
        if who.kind is not CredentialKind.TOKEN or case_id is None or self.idempotency_key is None:
            return self.idempotency_key
        return f"{case_id.hex} {hashlib.sha256(self.idempotency_key.encode()).hexdigest()}"

    def uploaded_event(self, file: FileView) -> Event:
        """The audit event of a finished upload."""
        details = {
            "sha256": file.sha256,
            "size": file.size,
            "status": file.status.value,
            "case_id": text_of(file.case_id),
        }
        return Event(EventKind.FILE_UPLOADED, self.principal.actor, str(file.id), self.origin, {**details})

    def failed(self, error: BaseException) -> Event:
        """The audit event of an upload that `error` ended: rejected for its content, or failed."""
        if isinstance(error, ContentRejected):
            return self._ended(EventKind.FILE_REJECTED, error.found | {"case_id": text_of(self.arrival.case_id)})
        if isinstance(error, asyncio.CancelledError):  # only a stop cancels a request: a client that leaves raises
            error = PortalStopped()
        reason = error.code if isinstance(error, PortalError) else type(error).__name__
        return self._ended(EventKind.FILE_UPLOAD_FAILED, {"reason": reason})

    def _ended(self, kind: EventKind, details: dict[str, Detail]) -> Event:
        return Event(kind, self.principal.actor, str(self.context.file_id), self.origin, details)


@dataclass(frozen=True, slots=True)
class SealedContent:
    """The sealed content of an upload, with its findings, its metadata and the decision on it."""

    sealed: SealedFile
    findings: Findings
    details: Details
    decision: Decision

    def row(self, arrival: IncomingFile) -> dict[str, Any]:
        """The values that make the file's row READY or QUARANTINED."""
        sealed, findings, details = self.sealed, self.findings, self.details
        return {
            "kind": details.kind.value,
            "description": details.description,
            "detected_type": findings.detected_type,
            "size": sealed.size,
            "sha256": sealed.sha256.hex(),
            "status": self.decision.status.value,
            "verdict": findings.verdict.outcome.value,
            "verdict_detail": findings.verdict.detail or None,
            "data_key_id": sealed.data_key_id,
            "record": sealed.record,
            "request_digest": request_digest(arrival, details, sealed.sha256),
        }


def compare(details: Details, sha256: bytes) -> None:
    """Compare the announced digest, if any, with that of the received bytes. Raises DigestMismatch."""
    if details.sha256 is not None and not hmac.compare_digest(details.sha256, sha256):
        raise DigestMismatch


def require_same(earlier: FileView, arrival: IncomingFile, details: Details, sha256: bytes) -> None:
    """Check that an idempotency key was sent with the same file and metadata as before. Raises KeyReused."""
    if request_digest(arrival, details, sha256) != earlier.request_digest:
        raise KeyReused


def request_digest(arrival: IncomingFile, details: Details, content: bytes) -> str:
    said = [arrival.name, arrival.declared_type, details.kind.value, details.description, content.hex()]
    said += [] if arrival.case_id is None else [str(arrival.case_id)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
