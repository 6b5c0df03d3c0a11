"""The key derivations of the format, one function each (HKDF-SHA256, RFC 5869). All keys have 32 bytes.

No two derivations share an info string: see `docs/format.md` 2.
"""

from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_SIZE = 32
CHECK_SIZE = 16
KID_SIZE = 8


def _hkdf(key: bytes, salt: bytes, info: bytes, length: int = KEY_SIZE) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(key)


def stream_key(file_key: bytes, salt: bytes, bound_head: bytes) -> bytes:
    """The AES key of one stream, from the file key, the stream's salt and head[0:96]."""
    return _hkdf(file_key, salt, bound_head)


def commitment(file_key: bytes, salt: bytes, bound_head: bytes) -> bytes:
    """The key commitment: 32 bytes that bind a blob to one file key.

    AES-GCM alone does not commit: an attacker can craft a ciphertext that opens under two keys.
    """
    return _hkdf(file_key, salt, b"SFP1 commit" + bound_head)


def file_key_wrap(data_key: bytes, salt: bytes) -> bytes:
    """The key that wraps one file key under a data key."""
    return _hkdf(data_key, salt, b"SFP1 file-key wrap")


def file_record(data_key: bytes) -> bytes:
    """The MAC key of the file records under a data key."""
    return _hkdf(data_key, b"", b"SFP1 file-record")


def data_key_check(data_key: bytes, data_key_id: UUID) -> bytes:
    """The check value of a data key, 16 bytes. It distinguishes a wrong key from the provider from damaged files."""
    return _hkdf(data_key, b"", b"SFP1 data-key check" + data_key_id.bytes, CHECK_SIZE)


def backup_header(backup_key: bytes) -> bytes:
    """The MAC key of the header of a backup."""
    return _hkdf(backup_key, b"", b"SFP1 backup-header")


def data_key_wrap(master_key: bytes, salt: bytes) -> bytes:
    """The key that wraps one data key under a master key."""
    return _hkdf(master_key, salt, b"SFP1 data-key wrap")


def master_key_id(master_key: bytes) -> bytes:
    """The `kid`: 8 bytes that identify a master key and reveal nothing of it."""
    return _hkdf(master_key, b"", b"SFP1 master-key id", KID_SIZE)


def master_key_version_check(data_key: bytes, version: int) -> bytes:
    """The check value of a wrap, 16 bytes: it binds the version of the master key that the wrap names."""
    return _hkdf(data_key, b"", b"SFP1 master-key version" + version.to_bytes(4, "big"), CHECK_SIZE)
