"""What the services of this feature hand to each other and to the doors: frozen, no rows, no schemas."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from portal.features.files.models import Kind, Status
from portal.strongbox.model import SealedFile, SealedPart


@dataclass(frozen=True, slots=True)
class FileView:
    """A file as its catalogue entry: everything but where and how its bytes are kept."""

    id: UUID
    owner_id: UUID
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
    data_key_id: UUID | None = field(repr=False, default=None)
    record: bytes | None = field(repr=False, default=None)
    request_digest: str | None = field(repr=False, default=None)

    @property
    def listed(self) -> bool:
        """Whether the file is there for anybody."""
        return self.status in {Status.READY, Status.QUARANTINED}

    def sealed(self, parts: tuple[SealedPart, ...]) -> SealedFile | None:
        """The file as the strongbox knows it; None where its row does not say what every sealed file's row says."""
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
