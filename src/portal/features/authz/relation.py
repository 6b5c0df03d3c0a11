"""How a caller stands to one object: the words that the policy's tables are written in.

Comes in: what the object's row and the caller's membership say, read in one statement. Leaves: a `Standing`. Next:
`policy` judges it. What else can tie a caller to a file (a grant) becomes a field here.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID


class CaseRole(StrEnum):
    """What a member may do in a case."""

    LEAD = "lead"
    CONTRIBUTOR = "contributor"
    READER = "reader"
    UPLOADER = "uploader"

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        """In Go the words of all enums are constants of one package, and `Role` has an uploader too."""
        named = [f"CASE_{role.name}" if role is cls.UPLOADER else role.name for role in cls]
        return {**handler(core_schema), "x-enum-varnames": named}


class CaseStatus(StrEnum):
    """Where a case is in its life; `policy.MOVES` has the ways between them."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    ON_HOLD = "on_hold"
    CLOSED = "closed"
    ARCHIVED = "archived"


class Tlp(StrEnum):
    """The Traffic Light Protocol 2.0 (FIRST)."""

    CLEAR = "CLEAR"
    GREEN = "GREEN"
    AMBER = "AMBER"
    AMBER_STRICT = "AMBER+STRICT"
    RED = "RED"


class RelationKind(StrEnum):
    """A column of the policy's table."""

    OWNER = "owner"
    LEAD = "lead"
    CONTRIBUTOR = "contributor"
    READER = "reader"
    UPLOADER = "uploader"
    AUDITOR = "auditor"
    ADMIN = "admin"
    BREAK_GLASS = "break_glass"
    GRANTEE = "grantee"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class CaseContext:
    """The case an object lies in, or is. `role` is the caller's membership."""

    status: CaseStatus
    tlp: Tlp
    role: CaseRole | None
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """What ties a caller to one object. `theirs`: a file that they handed in, or a case itself.

    `broke_glass`: they gave a reason to read it, not long ago. `granted`: somebody let them read this one file.
    `about` is the object's id: for the audit log.
    """

    is_owner: bool
    case: CaseContext | None = None
    broke_glass: bool = False
    granted: bool = False
    about: UUID | None = None


INBOX = Relation(is_owner=True)
"""A caller's standing to their own inbox."""
