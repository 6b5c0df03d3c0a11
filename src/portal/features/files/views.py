"""What the services of this feature hand to each other and to the doors: frozen, no rows, no schemas."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from portal.core.buffer import Buffer
from portal.core.key_scopes import scope_of
from portal.features.files.models import Kind, Status
from portal.strongbox.model import SealedFile, SealedPart


@dataclass(frozen=True, slots=True)
class FileView:
    """A file as its catalogue entry: everything but where and how its bytes are kept."""

    id: UUID
    owner_id: UUID
    case_id: UUID | None
    scope: str
    name: str
    kind: Kind
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
        """Whether the file is there for anybody."""
        return self.status in {Status.READY, Status.QUARANTINED}

    @property
    def content_tag(self) -> str:
        """The strong ETag of the bytes."""
        return f'"{self.sha256 or ""}"'

    def sealed(self, parts: tuple[SealedPart, ...]) -> SealedFile | None:
        """The file as the strongbox knows it; None where its row does not say what every sealed file's row says."""
        if self.scope != scope_of(self.case_id):  # moved in the database alone
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
    """What a client says of a file beside its bytes. `sha256` is the raw digest it announces, if it does."""

    kind: Kind = Kind.OTHER
    description: str = ""
    sha256: bytes | None = None


class IncomingFile(Protocol):
    """A file on its way in."""

    @property
    def name(self) -> str:
        """What the client calls it: data, never a path."""

    @property
    def case_id(self) -> UUID | None:
        """Where the client wants it; None for its own inbox."""

    @property
    def declared_type(self) -> str | None:
        """The media type the client claims: recorded, never trusted."""

    @property
    def content_length(self) -> int | None:
        """The most bytes that will come, where the client said it beforehand."""

    def chunks(self) -> AsyncIterator[Buffer]:
        """The bytes, once; a chunk is good until the next is asked for. Raises ClientGone where the client leaves."""

    async def details(self) -> Details:
        """What else the client said; complete once the bytes have come. Raises InvalidInput, Unprocessable."""
