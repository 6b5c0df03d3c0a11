"""What the receipt of a shredded case says: the payload of a signed document (`docs/receipts.md`). No I/O.

Comes in: a shredding and its files. Leaves: canonical JSON's values. It has no name of a file and no title: these are
the case's own secrets.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from portal.core.clock import rfc3339
from portal.features.custody.views import ShreddedFile, Shredding
from portal.keyring.repository import WrappedDataKey

TYPE: Final = "case-shredded"
_OF_DATABASE: Final = {
    "sqlite": "SQLite overwrites deleted rows (secure_delete); its write-ahead log has old pages until it begins anew.",
    "postgresql": "PostgreSQL keeps deleted rows until VACUUM, and in its write-ahead log, its archives and standbys.",
}
_NOT_PROVED: Final = (
    "Older backups of the database have the wrapped data keys: with the master key they open any copy of the blobs.",
    "Copies of the master key, keys that were exported and files that were downloaded are not reached.",
    "An unwrapped data key is used no more after one second, but may be in a worker's memory for five minutes.",
    "The file system, its snapshots, the disk and backups of the blob store may keep ciphertext that was removed.",
    "The audit log keeps names, sizes and digests of the files. Times are those of the portal's machine.",
)


def key_said(key: WrappedDataKey, version: int | None) -> dict[str, Any]:
    """What a receipt says of a data key: its id, and which version of which master key had wrapped it."""
    said = {"id": str(key.id), "master_key": key.provider_key_id, "master_key_version": version}
    return said | {"created_at": rfc3339(key.created_at)}


def payload(shredding: Shredding, files: Sequence[ShreddedFile], finished_at: datetime, dialect: str) -> dict[str, Any]:
    names, said = shredding.names, [_file_said(file) for file in files]
    blobs = [blob for file in said for blob in file["blobs"]]
    left = [blob for file in said if not file["removed"] for blob in file["blobs"]]
    return {
        "case": {"id": str(shredding.case_id), "number": shredding.case_number},
        "requested_by": names.requested_by,
        "requested_at": rfc3339(names.requested_at),
        "approved_by": names.approved_by,
        "approved_at": names.approved_at and rfc3339(names.approved_at),
        "keys_destroyed_at": rfc3339(shredding.begun_at),
        "finished_at": rfc3339(finished_at),
        "data_keys": shredding.data_keys,
        "files": said,
        "blobs_removed": len(blobs) - len(left),
        "blobs_left": len(left),
        "uploads_ended": shredding.uploads_ended,
        "not_proved": [*_NOT_PROVED, _OF_DATABASE[dialect]],
    }


def _file_said(file: ShreddedFile) -> dict[str, Any]:
    said = {"id": str(file.file_id), "size": file.size, "sha256": file.sha256, "blobs": file.blobs}
    return said | {"removed": file.removed_at is not None}
