"""The relation of a caller to one object, and the vocabulary of the policy's tables.

Comes in: the object's row and the caller's membership, read in one statement. Leaves: a `Relation`. Next: `policy`
decides by it. A new kind of tie between a caller and a file, as a grant is, becomes a field of `Relation`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID


class CaseRole(StrEnum):
    """The role of a member in a case."""

    LEAD = "lead"
    CONTRIBUTOR = "contributor"
    READER = "reader"
    UPLOADER = "uploader"

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        """The enum's schema, with names for code generators.

        In Go the members of all enums are constants of one package, and `Role` has an `uploader` too.
        """
        named = [f"CASE_{role.name}" if role is cls.UPLOADER else role.name for role in cls]
        return {**handler(core_schema), "x-enum-varnames": named}


class CaseStatus(StrEnum):
    """The status of a case. `policy.STATUS_TRANSITIONS` lists the allowed changes."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    ON_HOLD = "on_hold"
    CLOSED = "closed"
    ARCHIVED = "archived"
    SHREDDED = "shredded"  # its keys are destroyed; no change leads to it, and none back


class Tlp(StrEnum):
    """The Traffic Light Protocol 2.0 (FIRST)."""

    CLEAR = "CLEAR"
    GREEN = "GREEN"
    AMBER = "AMBER"
    AMBER_STRICT = "AMBER+STRICT"
    RED = "RED"


class RelationKind(StrEnum):
    """One kind of relation between a caller and an object: a column of the policy's table."""

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
    """The case that contains the object, or is the object. `role` is the caller's membership; None for none."""

    status: CaseStatus
    tlp: Tlp
    role: CaseRole | None
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """The relation of a caller to one object.

    `is_owner`: the caller owns the file; always true for a case itself and for the caller's inbox. `case`: the case
    that contains the object or is the object; None in an inbox. `broke_glass`: the caller has break-glass access to the
    file at present. `granted`: the caller has a grant on the file. `about`: the object's id, for the audit log.
    """

    is_owner: bool
    case: CaseContext | None = None
    broke_glass: bool = False
    granted: bool = False
    about: UUID | None = None


INBOX = Relation(is_owner=True)
"""The relation of a caller to their own inbox."""
