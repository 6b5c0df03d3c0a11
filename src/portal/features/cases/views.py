"""What the services of this feature hand to each other and to the doors: frozen, no rows, no schemas."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from portal.features.authz.relation import CaseRole, CaseStatus, Tlp


class Severity(StrEnum):
    """How bad it is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case's entry."""

    id: UUID
    number: str
    title: str
    description: str
    status: CaseStatus
    severity: Severity
    tlp: Tlp
    version: int
    created_by: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """An account in a case. `name` is the account's."""

    user_id: UUID
    name: str
    role: CaseRole
    added_by: UUID
    added_at: datetime
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Glass:
    """That an administrator read, or could have read, a file of the case, until when, and why."""

    id: UUID
    case_id: UUID
    file_id: UUID
    user_id: UUID
    reason: str
    created_at: datetime
    expires_at: datetime
    first_read_at: datetime | None = None
    last_read_at: datetime | None = None
