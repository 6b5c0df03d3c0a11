"""The JSON bodies of the link routes. Only the response to a creation contains a secret; none has a password hash."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from portal.features.files.models import FileKind
from portal.features.links.views import Link, LinkKind, LinkStatus, NewLink
from portal.web.fields import Moment, Text
from portal.web.pages import ItemPage, page_example

MAX_HOURS = 90 * 24
MAX_FILES = 100
MAX_MESSAGE = 2000
MAX_USES = 10_000
MAX_BYTES = 1 << 50

_AT, _UNTIL = "2026-11-21T12:00:00.000000Z", "2026-11-28T12:00:00.000000Z"
_LINK: JsonDict = {
    "id": "0190f3a4-2b7d-7c1f-a5e0-7d8c9b0a1f2e",
    "kind": "upload",
    "created_by": "0190f3a1-0b5e-7a4e-9c1d-1f2e3d4c5b6a",
    "created_by_name": "alice",
    "case_id": "0190f3a2-9d10-7e2b-b7aa-6b1d2f3b4c5d",
    "message": "Please send us the firewall's logs of 20 and 21 November.",
    "created_at": _AT,
    "expires_at": _UNTIL,
    "status": "live",
    "max_uses": 5,
    "uses": 1,
    "max_bytes": 1 << 30,
    "bytes": 1_048_576,
    "kinds": ["log"],
    "has_password": True,
}

Hours = Annotated[int, Field(strict=True, ge=1, le=MAX_HOURS, description="Lifetime in hours.")]
Message = Annotated[Text, Field(max_length=MAX_MESSAGE, description="Text that is shown to the user of the link.")]
Password = Annotated[
    str | None,
    Field(
        max_length=1024,
        json_schema_extra={"format": "password"},
        repr=False,
        description="Send it by another channel than the link.",
    ),
]


class DownloadLinkCreate(BaseModel):
    """A new download link: to chosen files of one case or inbox (`file_ids`), or to all files of a case (`case_id`)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "file_ids": ["0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d"],
                "expires_in_hours": 48,
                "max_uses": 1,
                "message": "The report, as agreed.",
            },
        },
    )

    file_ids: list[UUID] = Field(
        default_factory=list,
        min_length=1,
        max_length=MAX_FILES,
        description="The files to share; or give `case_id`.",
    )
    case_id: UUID | None = Field(None, description="Share all files of this case, as of each request.")
    expires_in_hours: Hours = 168
    max_uses: int = Field(1, strict=True, ge=1, le=MAX_USES, description="How often each file can be downloaded.")
    message: Message = ""
    password: Password = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        given = self.model_fields_set & {"file_ids", "case_id"}
        if len(given) != 1 or ("case_id" in given and self.case_id is None):
            raise ValueError("name either file_ids or case_id")
        return self

    def wanted(self) -> NewLink:
        return NewLink(
            kind=LinkKind.FILES if self.file_ids else LinkKind.CASE,
            lifetime=timedelta(hours=self.expires_in_hours),
            most=self.max_uses,
            case_id=self.case_id,
            file_ids=frozenset(self.file_ids),
            message=self.message,
            password=self.password,
        )


class UploadLinkCreate(BaseModel):
    """A new upload link. It allows uploads only."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "case_id": "0190f3a2-9d10-7e2b-b7aa-6b1d2f3b4c5d",
                "max_uses": 5,
                "max_bytes": 1 << 30,
                "kinds": ["log"],
                "message": "Please send us the firewall's logs of 20 and 21 November.",
            }
        },
    )

    case_id: UUID | None = Field(None, description="The case to upload to; your own inbox if left out.")
    expires_in_hours: Hours = 168
    max_uses: int = Field(1, strict=True, ge=1, le=MAX_USES, description="The most files.")
    max_bytes: int | None = Field(
        None, strict=True, ge=1, le=MAX_BYTES, description="The most bytes, all files together."
    )
    kinds: list[FileKind] = Field([], max_length=16, description="The kinds of files that are accepted; all if empty.")
    message: Message = ""
    password: Password = None

    def wanted(self) -> NewLink:
        return NewLink(
            kind=LinkKind.UPLOAD,
            lifetime=timedelta(hours=self.expires_in_hours),
            most=self.max_uses,
            case_id=self.case_id,
            most_bytes=self.max_bytes,
            kinds=frozenset(self.kinds),
            message=self.message,
            password=self.password,
        )


class LinkOut(BaseModel):
    """A link, without its secret."""

    model_config = ConfigDict(json_schema_extra={"example": _LINK})
    NAMED: ClassVar[Mapping[str, str]] = {"created_by_name": "created_by"}

    id: UUID
    kind: LinkKind
    created_by: UUID
    created_by_name: str | None = None
    case_id: UUID | None = Field(description="The case of its files; null for its creator's inbox.")
    message: str
    created_at: Moment
    expires_at: Moment
    status: LinkStatus = Field(description="`live`, `used_up`, or the reason why it ended for good.")
    max_uses: int = Field(description="How often each file can be downloaded; or how many files can be uploaded.")
    uses: int = Field(description="Whole downloads of all files, or uploaded files; with transfers under way.")
    max_bytes: int | None
    bytes: int = Field(description="Uploaded, all files together.")
    kinds: list[FileKind]
    has_password: bool

    @classmethod
    def of(cls, link: Link) -> "LinkOut":
        return cls.model_validate(_told(link))


class LinkCreated(LinkOut):
    """A new link with its secret, which is shown this once."""

    model_config = ConfigDict(json_schema_extra={"example": {**_LINK, "secret": "prl_7h1s1sn0t0ne…"}})

    secret: str = Field(repr=False, description="The secret to redeem. It is shown this once and never stored.")

    @classmethod
    def with_secret(cls, link: Link, secret: str) -> "LinkCreated":
        return cls.model_validate(_told(link) | {"secret": secret})


class LinkPage(ItemPage[LinkOut]):
    """One page of live links, newest first."""

    model_config = page_example(_LINK)


def _told(link: Link) -> dict[str, object]:
    return {
        "id": link.id,
        "kind": link.kind,
        "created_by": link.made_by,
        "case_id": link.case_id,
        "message": link.message,
        "created_at": link.created_at,
        "expires_at": link.expires_at,
        "status": link.status,
        "max_uses": link.most,
        "uses": link.used,
        "max_bytes": link.most_bytes,
        "bytes": link.used_bytes,
        "kinds": sorted(link.kinds),
        "has_password": link.has_password,
    }
