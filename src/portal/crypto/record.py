"""The file record: a MAC that binds a file's ordered parts, size and digest to its scope (`docs/format.md` 3).

Comes in: the values of the file's rows. Leaves: 33 bytes to store with them; or `IntegrityError` where a stored record
does not match the rows.
"""

import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from portal.core.errors import IntegrityError
from portal.core.key_scopes import is_scope
from portal.crypto import derive
from portal.crypto.format import MAX_PARTS
from portal.crypto.layout import MAX_PLAIN

_VERSION = b"\x01"
_PART = struct.Struct(">16sIQ32s")
COMMITMENT_SIZE = 32
DIGEST_SIZE = 32


@dataclass(frozen=True, slots=True)
class PartClaim:
    """The fields of one part that the file record authenticates. `plain_length` is bytes."""

    blob_id: UUID
    key_generation: int
    plain_length: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class FileClaim:
    """The fields of a file that the file record authenticates. `parts` are in order; `size` is bytes."""

    file_id: UUID
    data_key_id: UUID
    scope: str
    size: int
    sha256: bytes
    parts: Sequence[PartClaim]


def make(data_key: bytes, claim: FileClaim) -> bytes:
    """The file record of `claim`: a version byte and an HMAC-SHA256, 33 bytes.

    Raises RuntimeError for an inconsistent claim (parts whose lengths do not add up to `size`, for example): that is a
    bug of the caller, never an input.
    """
    if not _stands(claim):
        raise RuntimeError("a file record was asked for parts that do not add up")
    return _VERSION + hmac.digest(derive.file_record(data_key), _message(claim), sha256)


def check(record: bytes, data_key: bytes, claim: FileClaim) -> None:
    """Verify `record` in constant time. Raises IntegrityError unless it is the file record of exactly this claim."""
    if not _stands(claim):
        raise IntegrityError
    if not hmac.compare_digest(record, make(data_key, claim)):
        raise IntegrityError


def _stands(claim: FileClaim) -> bool:
    parts = claim.parts
    return (
        0 < len(parts) <= MAX_PARTS
        and 0 <= claim.size <= MAX_PLAIN
        and is_scope(claim.scope)
        and len(claim.sha256) == DIGEST_SIZE
        and all(len(part.commitment) == COMMITMENT_SIZE for part in parts)
        and sum(part.plain_length for part in parts) == claim.size
        and all(part.plain_length > 0 or part.plain_length == claim.size for part in parts)
        and all(1 <= part.key_generation < 1 << 32 for part in parts)
    )


def _message(claim: FileClaim) -> bytes:
    scope = claim.scope.encode("ascii")
    head = b"SFP1 file-record" + _VERSION + claim.file_id.bytes + claim.data_key_id.bytes
    body = struct.pack(">H", len(scope)) + scope + struct.pack(">IQ", len(claim.parts), claim.size) + claim.sha256
    parts = (_PART.pack(p.blob_id.bytes, p.key_generation, p.plain_length, p.commitment) for p in claim.parts)
    return head + body + b"".join(parts)
