"""The JSON of the routes for shredding and receipts."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from portal.features.admin.jobs_schemas import JOB_EXAMPLE, JobOut
from portal.features.custody.views import Act, Approval, ApprovalStatus, Receipt, Shredding
from portal.features.jobs.views import Job
from portal.web.fields import Moment
from portal.web.pages import ItemPage, page_example

_IDS = ("0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d", "0190f3a2-9d10-7e2b-b7aa-6b1d2f3b4c5d")
_TIME = "2026-11-21T12:00:00.000000Z"
_SHREDDING: JsonDict = {
    "case_id": _IDS[0],
    "case_number": "2026-0001",
    "requested_by": f"user:{_IDS[1]}",
    "requested_at": _TIME,
    "approved_by": f"user:{_IDS[0]}",
    "approved_at": _TIME,
    "begun_at": _TIME,
    "receipt_id": _IDS[1],
}
_RECEIPT: JsonDict = {
    "id": _IDS[1],
    "type": "case-shredded",
    "subject": _IDS[0],
    "created_at": _TIME,
    "document": '{"format":"portal-signed-1","kid":"...","payload":{},"signature":"...","type":"case-shredded"}',
}

_APPROVAL: JsonDict = {
    "id": _IDS[1],
    "act": "shred",
    "subject": _IDS[0],
    "about": "2026-0001 version 4",
    "requested_by": f"user:{_IDS[1]}",
    "requested_at": _TIME,
    "expires_at": "2026-11-24T12:00:00.000000Z",
    "status": "given",
    "approved_by": f"user:{_IDS[0]}",
    "decided_at": _TIME,
}
_JOB: JsonDict = {**JOB_EXAMPLE, "kind": "cases.shred", "payload": {"case_id": _IDS[0]}}


class ShredRequest(BaseModel):
    """Shred a case: its content is unreadable from this request on, for ever."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"case_number": "2026-0001"}})

    case_number: str = Field(max_length=16, description="The case's own number, so that it is no other case.")


class ApprovalOut(BaseModel):
    """A request for a second administrator's approval."""

    model_config = ConfigDict(json_schema_extra={"example": _APPROVAL})

    id: UUID
    act: Act = Field(description="What is to be done.")
    subject: str = Field(description="The id of the case or master key.")
    about: str = Field(description="The case and version that approval was asked for: another needs its own.")
    requested_by: str = Field(description="An actor, as the audit log names it.")
    requested_at: Moment = Field(description="When they asked.")
    expires_at: Moment
    status: ApprovalStatus
    approved_by: str | None = Field(description="The administrator who decided, also who refused.")
    decided_at: Moment | None = Field(description="When they decided.")

    @classmethod
    def of(cls, approval: Approval) -> "ApprovalOut":
        said = {name: getattr(approval, name) for name in cls.model_fields if name not in {"about", "approved_by"}}
        return cls(**said, about=approval.state, approved_by=approval.decided_by)


class ApprovalPage(ItemPage[ApprovalOut]):
    """One page of requests for approval, newest first."""

    model_config = page_example(_APPROVAL)


class ShredOut(BaseModel):
    """The job that shreds, or the request for the approval that is needed first."""

    model_config = ConfigDict(json_schema_extra={"example": {"job": _JOB, "approval": _APPROVAL}})

    job: JobOut | None = Field(description="None while approval is needed.")
    approval: ApprovalOut | None = Field(description="None where no approval is needed.")

    @classmethod
    def of(cls, found: Job | Approval) -> "ShredOut":
        if isinstance(found, Approval):
            return cls(job=None, approval=ApprovalOut.of(found))
        return cls(job=JobOut.of(found), approval=None)


class ShreddingOut(BaseModel):
    """The shredding of a case: who asked, and how far it is."""

    model_config = ConfigDict(json_schema_extra={"example": _SHREDDING})

    case_id: UUID
    case_number: str = Field(description="The case's number, which is never given again.")
    requested_by: str = Field(description="An actor, as the audit log names it.")
    requested_at: Moment = Field(description="When they asked.")
    approved_by: str | None = Field(description="The second administrator, where one was asked for.")
    approved_at: Moment | None = Field(description="When they approved it.")
    begun_at: Moment = Field(description="When the data keys were destroyed: nothing opens since.")
    receipt_id: UUID | None = Field(description="The signed receipt; none while its job runs.")

    @classmethod
    def of(cls, shredding: Shredding) -> "ShreddingOut":
        names: dict[str, str | datetime | None] = {
            name: getattr(shredding.names, name)
            for name in ("requested_by", "requested_at", "approved_by", "approved_at")
        }
        said = {name: getattr(shredding, name) for name in ("case_id", "case_number", "begun_at", "receipt_id")}
        return cls.model_validate(said | names)


class SignedReceiptOut(BaseModel):
    """A receipt: a signed document, which `portal receipt verify` reads."""

    model_config = ConfigDict(json_schema_extra={"example": _RECEIPT})

    id: UUID
    type: str = Field(description="What it is a receipt of.")
    subject: str = Field(description="The id of what it is about.")
    created_at: Moment
    document: str = Field(description="The signed text: keep exactly these characters in a file.")

    @classmethod
    def of(cls, receipt: Receipt) -> "SignedReceiptOut":
        return cls(**{name: getattr(receipt, name) for name in cls.model_fields})
