"""The values that the strongbox and its callers exchange: frozen dataclasses without behaviour."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from uuid import UUID

from portal.backends.scanners.base import Verdict
from portal.crypto.format import BlobContext
from portal.crypto.record import FileClaim, PartClaim

IN_ROW = "row"  # the `store` of an inline blob, which lies in its own row


@dataclass(frozen=True, slots=True)
class Findings:
    """The results of one pass over the plaintext. `size` is in bytes, `sha256` is the raw 32-byte digest.

    `labels` name kinds of content; no observer sets any yet. `away` is True if a scanner was unavailable, whatever the
    verdict of the others.
    """

    size: int
    sha256: bytes
    detected_type: str
    verdict: Verdict
    labels: frozenset[str] = frozenset()
    away: bool = False


@dataclass(frozen=True, slots=True)
class SealedPart:
    """One blob of a file, as its row stores it. Lengths are in bytes.

    `store` is the id of the store that has the blob, in hex. For an inline blob it is IN_ROW, and `content` is the
    whole sealed blob; otherwise `content` is None.
    """

    context: BlobContext
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
        return self.context.blob_id.hex


@dataclass(frozen=True, slots=True)
class TinkPart:
    """One part as a pure Tink stream, with everything that a Tink runtime needs to open it. `length` is in bytes.

    `blob` is the whole sealed blob if it is inline, and None if a store has it.
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
    """A file as its rows store it: everything needed to open it, and the file record that authenticates all of it."""

    file_id: UUID
    scope: str
    data_key_id: UUID
    size: int
    sha256: bytes
    record: bytes
    parts: tuple[SealedPart, ...]

    def claim(self) -> FileClaim:
        """The claim that the file record must authenticate."""
        parts = tuple(
            PartClaim(part.context.blob_id, part.context.key_generation, part.plain_length, part.commitment)
            for part in self.parts
        )
        return FileClaim(self.file_id, self.data_key_id, self.scope, self.size, self.sha256, parts)
