"""What the strongbox and its callers tell each other: frozen words, no behaviour."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from uuid import UUID

from portal.backends.scanners.base import Verdict
from portal.crypto.format import BlobContext
from portal.crypto.record import FileClaim, PartClaim

IN_ROW = "row"  # the store of blobs that lie in their own rows


@dataclass(frozen=True, slots=True)
class Findings:
    """What one pass over the plaintext found. `size` is in bytes, `sha256` is the raw digest.

    `labels` say what kind of content it is; no observer finds any yet.
    """

    size: int
    sha256: bytes
    detected_type: str
    verdict: Verdict
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SealedPart:
    """One blob of a file, as its row remembers it. Lengths are in bytes. `store` is the id of the
    store that has it.

    `content` has the whole sealed blob where the row itself has it, and no store.
    """

    place: BlobContext
    data_key_id: UUID
    wrapped_key: bytes = field(repr=False)
    commitment: bytes
    plain_length: int
    stored_length: int
    store: str
    content: bytes | None = field(repr=False, default=None)

    @property
    def key(self) -> str:
        """The blob's key in the store."""
        return self.place.blob_id.hex


@dataclass(frozen=True, slots=True)
class TinkPart:
    """One part as a pure Tink stream, with everything a Tink runtime needs to open it. `length` is in bytes.

    `blob` is the whole blob, where it lies in no store.
    """

    blob_key: str
    key: bytes = field(repr=False)
    keyset: str = field(repr=False)
    associated_data: bytes
    stream: Callable[[], AsyncIterator[bytes]]
    length: int
    blob: bytes | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file as its rows remember it: everything needed to open it, and the record that binds it together."""

    file_id: UUID
    scope: str
    data_key_id: UUID
    size: int
    sha256: bytes
    record: bytes
    parts: tuple[SealedPart, ...]

    def claim(self) -> FileClaim:
        """What the file record must have been made for."""
        parts = tuple(
            PartClaim(part.place.blob_id, part.place.key_generation, part.plain_length, part.commitment)
            for part in self.parts
        )
        return FileClaim(self.file_id, self.data_key_id, self.scope, self.size, self.sha256, parts)
