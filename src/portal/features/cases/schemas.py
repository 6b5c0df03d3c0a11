"""The JSON bodies and queries of the case routes."""

from collections.abc import Mapping
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from portal.features.authz.relation import CaseRole, CaseStatus, Tlp
from portal.features.cases.views import CaseView, Glass, Member, Severity
from portal.web.fields import Moment, Readable, Text, Version
from portal.web.pages import ItemPage, PageQuery, page_example

MAX_TITLE = 200
MAX_DESCRIPTION = 10_000
Title = Annotated[str, Readable(), Field(max_length=MAX_TITLE)]
_STRICT = ConfigDict(extra="forbid", strict=True)

_CASE: JsonDict = {
    "id": "0190f3a2-9d10-7e2b-b7aa-6b1d2f3b4c5d",
    "number": "2026-0117",
    "title": "Ransomware at the Rotterdam office",
    "description": "Three hosts, first seen 21 November.",
    "status": "in_progress",
    "severity": "high",
    "tlp": "AMBER+STRICT",
    "created_by": "0190f3a1-0b5e-7a4e-9c1d-1f2e3d4c5b6a",
    "created_by_name": "alice",
    "created_at": "2026-11-21T12:00:00.000000Z",
    "version": 1,
}
_MEMBER: JsonDict = {
    "user_id": "0190f3a1-0b5e-7a4e-9c1d-1f2e3d4c5b6a",
    "user_name": "bob",
    "role": "reader",
    "created_by": "0190f3a1-1c6f-7b5f-8d2e-2a3f4e5d6c7b",
    "created_by_name": "alice",
    "created_at": "2026-11-21T12:00:00.000000Z",
    "disabled": False,
}
_GLASS: JsonDict = {
    "case_id": "0190f3a2-9d10-7e2b-b7aa-6b1d2f3b4c5d",
    "user_name": "root",
    "first_read_at": "2026-11-21T12:01:00.000000Z",
    "last_read_at": "2026-11-21T12:09:00.000000Z",
    "file_id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
    "user_id": "0190f3a1-0b5e-7a4e-9c1d-1f2e3d4c5b6a",
    "reason": "Court order 26/1187 of 21 November; the lead cannot be reached.",
    "created_at": "2026-11-21T12:00:00.000000Z",
    "expires_at": "2026-11-21T12:15:00.000000Z",
}


class CaseOut(BaseModel):
    """A case's metadata."""

    model_config = ConfigDict(json_schema_extra={"example": _CASE})
    NAMED: ClassVar[Mapping[str, str]] = {"created_by_name": "created_by"}

    id: UUID
    number: str = Field(description="A short number for people. It is never reused.")
    title: str
    description: str
    status: CaseStatus
    severity: Severity
    tlp: Tlp = Field(description="Traffic Light Protocol 2.0. The portal enforces it: see the access page.")
    created_by: UUID
    created_by_name: str | None = None
    created_at: Moment
    version: Version

    @classmethod
    def of(cls, case: CaseView) -> "CaseOut":
        return cls(**{name: getattr(case, name) for name in CaseView.__slots__})


class CasePage(ItemPage[CaseOut]):
    """One page of cases, newest first."""

    model_config = page_example(_CASE)


class CaseCreate(BaseModel):
    """A case to open."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"example": {"title": "Phishing of 21 November"}})

    title: Title
    description: Text = Field("", max_length=MAX_DESCRIPTION)
    severity: Annotated[Severity, Field(strict=False)] = Severity.MEDIUM
    tlp: Annotated[Tlp, Field(strict=False)] = Tlp.AMBER


class CaseUpdate(BaseModel):
    """The fields of a case to change. Omitted fields stay as they are."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"example": {"status": "closed"}})

    title: Title | None = None
    description: Text | None = Field(None, max_length=MAX_DESCRIPTION)
    severity: Annotated[Severity | None, Field(strict=False)] = None
    tlp: Annotated[Tlp | None, Field(strict=False)] = None
    status: Annotated[CaseStatus | None, Field(strict=False)] = None


class CaseQuery(PageQuery):
    """The filters and the page of a listing of cases."""

    status: CaseStatus | None = None


class MemberOut(BaseModel):
    """A member of a case."""

    model_config = ConfigDict(json_schema_extra={"example": _MEMBER})
    NAMED: ClassVar[Mapping[str, str]] = {"created_by_name": "created_by"}

    user_id: UUID
    user_name: str = Field(description="The name of the member's account.")
    role: CaseRole
    created_by: UUID
    created_by_name: str | None = None
    created_at: Moment = Field(description="When they became a member.")
    disabled: bool = Field(description="Whether the account is disabled. Its membership then has no effect.")

    @classmethod
    def of(cls, member: Member) -> "MemberOut":
        shown = {name: getattr(member, name) for name in ("user_id", "role", "disabled")}
        return cls(user_name=member.name, created_by=member.added_by, created_at=member.added_at, **shown)


class MemberPage(ItemPage[MemberOut]):
    """All members of a case."""

    model_config = page_example(_MEMBER)


class MemberCreate(BaseModel):
    """The account to add to a case, and its role there."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"example": {"user_name": "bob", "role": "reader"}})

    user_name: Text = Field(min_length=1, max_length=64, description="The account's user name.")
    role: Annotated[CaseRole, Field(strict=False)]


class MemberUpdate(BaseModel):
    """A member's new role."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"example": {"role": "contributor"}})

    role: Annotated[CaseRole, Field(strict=False)]


class BreakGlassOut(BaseModel):
    """One break-glass access: an administrator's right to read a file of the case, and whether it was used."""

    model_config = ConfigDict(json_schema_extra={"example": _GLASS})
    NAMED: ClassVar[Mapping[str, str]] = {"user_name": "user_id"}

    case_id: UUID
    file_id: UUID
    user_id: UUID
    user_name: str | None = Field(None, description="The administrator's name.")
    reason: str
    created_at: Moment
    expires_at: Moment
    first_read_at: Moment | None = Field(description="When the access was first used to read the file; null if never.")
    last_read_at: Moment | None = Field(description="When the access was last used; null if never.")

    @classmethod
    def of(cls, glass: Glass) -> "BreakGlassOut":
        return cls(**{name: getattr(glass, name) for name in Glass.__slots__ if name != "id"})


class BreakGlassPage(ItemPage[BreakGlassOut]):
    """One page of break-glass accesses, newest first."""

    model_config = page_example(_GLASS)


class BreakGlassQuery(PageQuery):
    """The filters and the page of a listing of break-glass accesses."""

    case_id: UUID | None = Field(None, description="Only accesses in this case, also if it was deleted.")
