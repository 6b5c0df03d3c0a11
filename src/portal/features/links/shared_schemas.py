"""The JSON bodies and queries of the shared routes, for callers without an account.

They contain no id except those of downloadable files, and no name of a person.
"""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from portal.features.files.models import FileKind
from portal.features.files.views import FileView
from portal.features.links.shared_access import SharedFiles
from portal.features.links.views import Link, LinkKind
from portal.web.fields import Moment

_UNTIL = "2026-11-28T12:00:00.000000Z"
_FILE: JsonDict = {
    "id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
    "name": "report.pdf",
    "size": 482_133,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "uses_left": 1,
}


class RedeemRequest(BaseModel):
    """A link's secret."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"secret": "prl_7h1s1sn0t0ne…", "password": "paper boat in winter"}},
    )

    secret: str = Field(max_length=100, repr=False)
    password: str | None = Field(
        None,
        max_length=1024,
        json_schema_extra={"format": "password"},
        repr=False,
        description="The link's password, if any.",
    )


class LinkTokenOut(BaseModel):
    """A link session's token, for the shared routes."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"token": "prs_7h1s1sn0t0ne…", "kind": "files", "expires_at": "2026-11-21T12:15:00.000000Z"}
        }
    )

    token: str = Field(repr=False, description="Send it as `Authorization: Bearer`. It is never stored.")
    kind: LinkKind
    expires_at: Moment = Field(description="When it expires. Transfers begun before may take longer.")


class SharedFileOut(BaseModel):
    """A file that the link offers for download."""

    model_config = ConfigDict(json_schema_extra={"example": _FILE})

    id: UUID
    name: str = Field(description="The file name that the uploader chose: data, never a path.")
    size: int = Field(description="Size of the content (plaintext) in bytes.")
    sha256: str = Field(description="SHA-256 of the content (plaintext), in lowercase hex.")
    uses_left: int = Field(description="Downloads left. Resuming a broken download does not count.")

    @classmethod
    def of(cls, file: FileView, uses_left: int) -> "SharedFileOut":
        size, sha256 = file.size or 0, file.sha256 or ""
        return cls(id=file.id, name=file.name, size=size, sha256=sha256, uses_left=uses_left)


class ReceiptOut(BaseModel):
    """The receipt of an upload, for the sender to show to the link's creator."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "firewall.log",
                "size": 1_048_576,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "received_at": "2026-11-21T12:00:00.000000Z",
            }
        }
    )

    name: str
    size: int
    sha256: str
    received_at: Moment

    @classmethod
    def of(cls, file: FileView) -> "ReceiptOut":
        return cls(name=file.name, size=file.size or 0, sha256=file.sha256 or "", received_at=file.created_at)


class SharedOut(BaseModel):
    """The files that a link offers, and the uploads of this link session."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "kind": "files",
                "message": "The report, as agreed.",
                "expires_at": _UNTIL,
                "uses_left": 1,
                "bytes_left": 1 << 30,
                "kinds": [],
                "files": [_FILE],
                "received": [],
                "next_cursor": "Xk3…",
            }
        }
    )

    kind: LinkKind
    message: str
    expires_at: Moment
    uses_left: int = Field(description="Files to upload, or whole downloads of the files of this page together.")
    bytes_left: int | None = Field(description="Bytes left to upload; null for no limit.")
    kinds: list[FileKind] = Field(description="The kinds of files that are accepted; all if empty.")
    files: list[SharedFileOut] = Field(description="The files to download; none for an upload link.")
    received: list[ReceiptOut] = Field(description="The last 200 uploads with this token, newest first.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last page.")

    @classmethod
    def of(cls, link: Link, offer: SharedFiles, next_cursor: str | None) -> "SharedOut":
        files = [SharedFileOut.of(file, max(link.most - offer.used.get(file.id, 0), 0)) for file in offer.files]
        uploads = link.kind is LinkKind.UPLOAD
        return cls(
            kind=link.kind,
            message=link.message,
            expires_at=link.expires_at,
            uses_left=max(link.most - link.used, 0) if uploads else sum(file.uses_left for file in files),
            bytes_left=link.bytes_left,
            kinds=sorted(link.kinds),
            files=files,
            received=[ReceiptOut.of(file) for file in offer.received],
            next_cursor=next_cursor,
        )


class SharedQuery(BaseModel):
    """The page of the offered files."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before.")
