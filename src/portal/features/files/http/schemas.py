"""The JSON bodies and queries of the files routes. They never contain a key, a path of the server or a salt."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from portal.backends.scanners.base import ScanOutcome
from portal.features.files.file_names import MAX_NAME_BYTES, NAME_PATTERN
from portal.features.files.grant_rows import Grant
from portal.features.files.listing import Filters
from portal.features.files.models import FileKind, Status
from portal.features.files.order import FileOrder
from portal.features.files.views import FileView
from portal.web.fields import GivenMoment, Moment, Readable, Text, Version
from portal.web.pages import ItemPage, PageQuery, page_example

MAX_DESCRIPTION = 4000
NAME: JsonDict = {"pattern": NAME_PATTERN, "maxLength": MAX_NAME_BYTES}
"""The schema of a file name, for the OpenAPI document; `file_names.checked_name` does the check."""

_EXAMPLE: JsonDict = {
    "id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
    "name": "memory.raw",
    "size": 4294967296,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "declared_content_type": "application/octet-stream",
    "detected_content_type": "application/octet-stream",
    "kind": "memory_dump",
    "description": "RAM of host FIN-7, taken 11:40 UTC",
    "status": "ready",
    "scan_verdict": "not_scanned",
    "owner_id": "0190f3a1-0b5e-7a4e-9c1d-1f2e3d4c5b6a",
    "owner_name": "alice",
    "case_id": "0190f3a2-9d10-7e2b-b7aa-6b1d2f3b4c5d",
    "uploaded_by": "link:0190f3a4-2b7d-7c1f-a5e0-7d8c9b0a1f2e",
    "created_at": "2026-11-21T12:00:00.000000Z",
    "version": 1,
    "available_at": "2026-11-21T12:07:31.250000Z",
}


class FileStatus(StrEnum):
    """The status of a file that is listed. A quarantined file cannot be downloaded."""

    READY = Status.READY
    QUARANTINED = Status.QUARANTINED


class FileOut(BaseModel):
    """A file's metadata."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})
    NAMED: ClassVar[Mapping[str, str]] = {"owner_name": "owner_id", "uploaded_by_name": "uploaded_by"}

    id: UUID
    name: str = Field(description="The file name that the uploader chose: data, never a path.")
    size: int = Field(description="Size of the content (plaintext) in bytes.")
    sha256: str = Field(description="SHA-256 of the content (plaintext), in lowercase hex.")
    declared_content_type: str | None = Field(description="The media type that the uploader claimed; not verified.")
    detected_content_type: str | None = Field(description="The media type guessed from the first bytes; not verified.")
    kind: FileKind
    description: str
    status: FileStatus
    scan_verdict: ScanOutcome
    owner_id: UUID = Field(description="The account that uploaded it, or that created the upload link.")
    case_id: UUID | None = Field(description="The case it belongs to; null in its owner's inbox.")
    owner_name: str | None = Field(None, description="The owner's name; null if the caller may not see it.")
    uploaded_by: str | None = Field(description="`user:<id>`, `user:<id>/token:<id>` or `link:<id>`; null if unknown.")
    uploaded_by_name: str | None = Field(None, description="The uploader's name, if the uploader is an account.")
    created_at: Moment = Field(description="When the upload began.")
    available_at: Moment = Field(description="When the upload ended, or the file last moved or changed owner.")
    version: Version

    @classmethod
    def of(cls, file: FileView) -> "FileOut":
        """The metadata of a listed file."""
        return cls(
            id=file.id,
            name=file.name,
            size=file.size or 0,
            sha256=file.sha256 or "",
            declared_content_type=file.declared_type,
            detected_content_type=file.detected_type,
            kind=file.kind,
            description=file.description,
            status=FileStatus(file.status),
            scan_verdict=ScanOutcome(file.verdict or ScanOutcome.NOT_SCANNED),
            owner_id=file.owner_id,
            case_id=file.case_id,
            uploaded_by=file.uploaded_by,
            created_at=file.created_at,
            version=file.version,
            available_at=file.available_at or file.created_at,
        )


class FilePage(ItemPage[FileOut]):
    """One page of files."""

    model_config = page_example(_EXAMPLE)


class FileUpdate(BaseModel):
    """Changes to a file's metadata. A field that is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"kind": "evidence", "description": "case 2026-117"}}
    )

    name: Text | None = Field(None, min_length=1, json_schema_extra=NAME)
    kind: Annotated[FileKind | None, Field(strict=False)] = None
    description: Text | None = Field(None, max_length=MAX_DESCRIPTION)


class FileMoveRequest(BaseModel):
    """The target of a move."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"case_id": "0190f3a2-9d10-7e2b-b7aa-6b1d2f3b4c5d"}}
    )

    case_id: Annotated[UUID | None, Field(strict=False, description="The target case; null for the owner's inbox.")]


class BreakGlassCreate(BaseModel):
    """The reason for which an administrator must read a file of a case."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"reason": "Court order 26/1187 of 21 November."}}
    )

    reason: Annotated[str, Readable(10, lines=True)] = Field(
        max_length=1000, description="Shown to the case's leads. At least 10 characters that are not blank."
    )


class BreakGlassCreated(BaseModel):
    """Break-glass access to the file, and the time at which it ends."""

    model_config = ConfigDict(json_schema_extra={"example": {"expires_at": "2026-11-21T12:15:00.000000Z"}})

    expires_at: Moment


_GRANT: JsonDict = {
    "user_id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d",
    "user_name": "bob",
    "created_by": "0190f3a1-0b5e-7a4e-9c1d-1f2e3d4c5b6a",
    "created_by_name": "alice",
    "file_id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5e",
    "case_id": "0190f3a2-9d10-7e2b-b7aa-6b1d2f3b4c5d",
    "created_at": "2026-11-21T12:00:00.000000Z",
    "expires_at": "2026-11-22T12:00:00.000000Z",
}


class GrantCreate(BaseModel):
    """The account that may read a file, and for how long."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"user_name": "bob", "expires_in_hours": 24}}
    )

    user_name: Text = Field(min_length=1, max_length=64, description="The account's user name.")
    expires_in_hours: int = Field(24, ge=1, le=24 * 366)


class GrantOut(BaseModel):
    """A grant: an account may read one file until `expires_at`."""

    model_config = ConfigDict(json_schema_extra={"example": _GRANT})
    NAMED: ClassVar[Mapping[str, str]] = {"created_by_name": "created_by"}

    user_id: UUID
    user_name: str = Field(description="The name of the account that may read.")
    created_by: UUID
    created_by_name: str | None = None
    file_id: UUID
    case_id: UUID | None = Field(description="The case that the file belongs to; null in an inbox.")
    created_at: Moment
    expires_at: Moment

    @classmethod
    def of(cls, grant: Grant) -> "GrantOut":
        said = ("user_id", "file_id", "case_id", "created_at", "expires_at")
        shown = {name: getattr(grant, name) for name in said}
        return cls(user_name=grant.name, created_by=grant.granted_by, **shown)


class GrantPage(ItemPage[GrantOut]):
    """One page of grants. Those of a file are oldest first; those of a case or an account newest first."""

    model_config = page_example(_GRANT)


class TransferCreate(BaseModel):
    """The account that receives the files of an inbox."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"example": {"to": "bob"}})

    to: Text = Field(min_length=1, max_length=64, description="The user name of an analyst or administrator.")


class TransferOut(BaseModel):
    """The result of a transfer."""

    model_config = ConfigDict(json_schema_extra={"example": {"files": 12}})

    files: int = Field(description="How many files were transferred.")


class GrantQuery(PageQuery):
    """Selects grants by account."""

    given: bool = Field(default=False, description="List the grants that the account created, not those it received.")
    user_id: UUID | None = Field(None, description="Another account; for administrators and auditors only.")


class DetailsQuery(BaseModel):
    """The metadata in the query of a raw upload, to a case, an inbox or a link."""

    model_config = ConfigDict(extra="forbid")

    kind: FileKind = FileKind.OTHER
    description: Text = Field("", max_length=MAX_DESCRIPTION)


class UploadQuery(DetailsQuery):
    """The metadata in the query of a raw upload by an account."""

    case_id: UUID | None = Field(None, description="The case to upload to; your own inbox if left out.")


class EmptyQuery(BaseModel):
    """No query parameters: a form's metadata is in its fields, and an ignored query would look as if it had worked."""

    model_config = ConfigDict(extra="forbid")


class FormQuery(EmptyQuery):
    """The case of a form upload. It must be known before the file's first byte, and a form may begin with its file."""

    case_id: UUID | None = Field(None, description="The case to upload to; your own inbox if left out.")


class FileQuery(PageQuery):
    """The filters and the order of a listing."""

    name: Text | None = Field(None, min_length=1, max_length=255, description="A part of the name; case-insensitive.")
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$", description="SHA-256 in hex.")
    kind: FileKind | None = None
    case_id: UUID | None = Field(None, description="Only files of this case.")
    created_from: GivenMoment | None = Field(None, description="RFC 3339, with a zone; inclusive.")
    created_to: GivenMoment | None = Field(None, description="RFC 3339, with a zone; exclusive.")
    available_from: GivenMoment | None = Field(None, description="RFC 3339, with a zone; inclusive.")
    available_to: GivenMoment | None = Field(None, description="RFC 3339, with a zone; exclusive.")
    order: FileOrder = Field(FileOrder.NEWEST, description="`available`: by `available_at`, oldest first.")

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        for start, end in ((self.created_from, self.created_to), (self.available_from, self.available_to)):
            if start is not None and end is not None and start > end:
                raise ValueError("a time to list from is later than the time to list to")
        return self

    def filters(self) -> Filters:
        """The query for the catalog: a field of the same name takes each parameter."""
        given = {name: getattr(self, name) for name in type(self).model_fields.keys() - PageQuery.model_fields.keys()}
        return Filters(**given | {"sha256": self.sha256 and self.sha256.lower()})
