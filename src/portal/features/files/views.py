"""Frozen values that pass between the services of this feature and its routes. They are no rows and no schemas."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from portal.core.buffer import Buffer
from portal.core.key_scopes import scope_of
from portal.features.files.models import FileKind, Status
from portal.strongbox.model import SealedFile, SealedPart


@dataclass(frozen=True, slots=True)
class FileView:
    """A file's row, without its blobs: the metadata, and the fields that its file record rests on."""

    id: UUID
    owner_id: UUID
    case_id: UUID | None
    scope: str
    name: str
    kind: FileKind
    description: str
    declared_type: str | None
    detected_type: str | None
    size: int | None
    sha256: str | None
    status: Status
    verdict: str | None
    verdict_detail: str | None
    version: int
    created_at: datetime
    available_at: datetime | None = None
    uploaded_by: str | None = None
    data_key_id: UUID | None = field(repr=False, default=None)
    record: bytes | None = field(repr=False, default=None)
    request_digest: str | None = field(repr=False, default=None)

    @property
    def listed(self) -> bool:
        """Whether the file is listed: READY or QUARANTINED."""
        return self.status in {Status.READY, Status.QUARANTINED}

    @property
    def content_tag(self) -> str:
        """The strong ETag of the content: its SHA-256 in quotes."""
        return f'"{self.sha256 or ""}"'

    def sealed(self, parts: tuple[SealedPart, ...]) -> SealedFile | None:
        """The sealed file for the strongbox. None if the row is not that of a sealed file, such as an edited row."""
        if self.scope != scope_of(self.case_id):  # moved by an edit of the database
            return None
        if self.data_key_id is None or self.record is None or self.size is None or self.size < 0:
            return None
        try:
            digest = bytes.fromhex(self.sha256 or "")
        except ValueError:
            return None
        return SealedFile(self.id, self.scope, self.data_key_id, self.size, digest, self.record, parts)


@dataclass(frozen=True, slots=True)
class Details:
    """The metadata that a client states with an upload. `sha256` is the announced digest as 32 raw bytes, or None."""

    kind: FileKind = FileKind.OTHER
    description: str = ""
    sha256: bytes | None = None


class IncomingFile(Protocol):
    """A file that is being received: its metadata, and its bytes as they arrive."""

    @property
    def name(self) -> str:
        """The file name that the client chose: data, never a path."""

    @property
    def case_id(self) -> UUID | None:
        """The case that the client uploads to; None for its own inbox."""

    @property
    def declared_type(self) -> str | None:
        """The media type that the client claims: stored, never trusted."""

    @property
    def content_length(self) -> int | None:
        """The announced length in bytes, an upper bound of the file's size; None if the client announced none."""

    def chunks(self) -> AsyncIterator[Buffer]:
        """The bytes; iterate only once. A chunk is valid only until the next one is requested: copy it to keep it.

        Raises ClientGone if the client disconnects.
        """

    async def details(self) -> Details:
        """The other metadata. Call it after the last chunk: fields of a form may come behind the file.

        Raises InvalidInput, Unprocessable.
        """
