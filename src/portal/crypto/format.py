"""The head of a blob: 128 bytes that identify the blob and commit to its key (`docs/format.md` 2).

Comes in: the `BlobContext` of a blob. Leaves: its head; or `IntegrityError` for a head that differs in any byte.
Next: `blob` writes it before a stream.
"""

import hmac
import struct
from dataclasses import dataclass
from uuid import UUID

from portal.core.errors import IntegrityError
from portal.crypto import derive

MAGIC = b"SFP1"
VERSION = 1
SUITE = 1  # Tink AES256_GCM_HKDF, SHA-256
HEAD_SIZE = 128
BOUND_SIZE = 96  # bytes of the head that the commitment and the stream key are bound to
MAX_PARTS = 10_000

_BOUND = struct.Struct(">4sBBBB16s16sII48x")


@dataclass(frozen=True, slots=True)
class BlobContext:
    """The identity of a blob: its head, its wrapped key and its file record are bound to these values.

    `part` counts from 0; `key_generation` counts from 1.
    """

    file_id: UUID
    blob_id: UUID
    part: int = 0
    key_generation: int = 1

    def __post_init__(self) -> None:
        """Raises IntegrityError for values out of bounds: they come from an edited row or a forged head."""
        if not (0 <= self.part < MAX_PARTS and 1 <= self.key_generation < 1 << 32):
            raise IntegrityError


def bound_head(context: BlobContext, segment: int) -> bytes:
    """head[0:96], the associated data of the stream. `segment` is the segment size in bytes, a power of two."""
    return _BOUND.pack(
        MAGIC,
        VERSION,
        SUITE,
        segment.bit_length() - 1,
        0,
        context.file_id.bytes,
        context.blob_id.bytes,
        context.part,
        context.key_generation,
    )


def read_context(head: bytes, segment: int) -> BlobContext:
    """The `BlobContext` that a head claims, for a reader without database rows (rescue). The claim is not verified:
    the commitment needs the file key.

    Raises IntegrityError unless every other bound byte has the one value that the format allows.
    """
    if len(head) != HEAD_SIZE:
        raise IntegrityError
    _, _, _, _, _, file_id, blob_id, part, generation = _BOUND.unpack(head[:BOUND_SIZE])
    context = BlobContext(UUID(bytes=file_id), UUID(bytes=blob_id), part, generation)
    if head[:BOUND_SIZE] != bound_head(context, segment):
        raise IntegrityError
    return context


def check_head(head: bytes, context: BlobContext, segment: int, file_key: bytes, salt: bytes) -> bytes:
    """Verify that `head` is the head of `context` under `file_key`; returns the commitment (32 bytes).

    `segment` is the segment size in bytes. The comparison takes constant time. Raises IntegrityError for another head.
    """
    bound = bound_head(context, segment)
    commitment = derive.commitment(file_key, salt, bound)
    if not hmac.compare_digest(head, bound + commitment):
        raise IntegrityError
    return commitment
