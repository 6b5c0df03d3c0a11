"""The values that custody's services exchange with the routes and the command line."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ShredderNames:
    """Who asked for a shredding and when, and who approved it, as the audit log names them."""

    requested_by: str
    requested_at: datetime
    approved_by: str | None = None
    approved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Shredding:
    """The shredding of a case. It is over once there is a receipt."""

    id: UUID
    case_id: UUID
    case_number: str
    names: ShredderNames
    begun_at: datetime
    uploads_ended: int
    data_keys: list[dict[str, Any]]
    receipt_id: UUID | None

    @property
    def actor(self) -> str:
        """Who set it going: the approver, where there was one."""
        return self.names.approved_by or self.names.requested_by


@dataclass(frozen=True, slots=True)
class ShreddedFile:
    """A file whose keys are destroyed. `blobs` have their ids and stores; `removed_at` is when they were gone."""

    file_id: UUID
    size: int | None
    sha256: str | None
    blobs: list[dict[str, str]]
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A signed document, exactly as it was given out."""

    id: UUID
    type: str
    subject: str
    created_at: datetime
    document: str


class Act(StrEnum):
    """What may need a second administrator (`PORTAL_APPROVALS`)."""

    SHRED = "shred"
    RETIRE = "retire"


class ApprovalStatus(StrEnum):
    """Where a request for approval is in its life. A pending one whose time is over counts as expired."""

    PENDING = "pending"
    GIVEN = "given"
    REFUSED = "refused"
    EXPIRED = "expired"  # or replaced by a request about another state


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for a second administrator's approval. `subject` is a case's id or a master key's."""

    id: UUID
    act: Act
    subject: str
    state: str
    requested_by: str
    requester_id: UUID | None
    requested_at: datetime
    expires_at: datetime
    status: ApprovalStatus
    decided_by: str | None = None
    decided_at: datetime | None = None

    @property
    def created_at(self) -> datetime:
        """Its place in a listing."""
        return self.requested_at
