"""The values that case services exchange with each other and with the routes: frozen; neither rows nor API schemas."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from portal.features.authz.relation import CaseRole, CaseStatus, Tlp


class Severity(StrEnum):
    """The severity of a case."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case's metadata. `version` counts its changes."""

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
    """A member of a case. `name` and `disabled` are the account's."""

    user_id: UUID
    name: str
    role: CaseRole
    added_by: UUID
    added_at: datetime
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Glass:
    """One break-glass access: an administrator's right to read a file from `created_at` until `expires_at`, and why.

    The read times are None where the right was not used.
    """

    id: UUID
    case_id: UUID
    file_id: UUID
    user_id: UUID
    reason: str
    created_at: datetime
    expires_at: datetime
    first_read_at: datetime | None = None
    last_read_at: datetime | None = None
