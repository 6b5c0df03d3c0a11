"""The JSON of the routes for shredding and receipts."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from portal.features.custody.views import Receipt, Shredding
from portal.web.fields import Moment

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


class ShredRequest(BaseModel):
    """Shred a case: its content is unreadable from this request on, for ever."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"case_number": "2026-0001"}})

    case_number: str = Field(max_length=16, description="The case's own number, so that it is no other case.")


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
