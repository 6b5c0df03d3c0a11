"""Every key derivation of the format, one function each (HKDF-SHA256, RFC 5869). All keys are 32 bytes.

The info strings never collide: see `docs/format.md` 2.
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
    return _hkdf(file_key, salt, bound_head)


def commitment(file_key: bytes, salt: bytes, bound_head: bytes) -> bytes:
    """What ties a blob to one key: AES-GCM alone opens under a second, crafted one."""
    return _hkdf(file_key, salt, b"SFP1 commit" + bound_head)


def file_key_wrap(data_key: bytes, salt: bytes) -> bytes:
    return _hkdf(data_key, salt, b"SFP1 file-key wrap")


def file_record(data_key: bytes) -> bytes:
    return _hkdf(data_key, b"", b"SFP1 file-record")


def data_key_check(data_key: bytes, data_key_id: UUID) -> bytes:
    """16 bytes that tell a provider's wrong answer from damage to files."""
    return _hkdf(data_key, b"", b"SFP1 data-key check" + data_key_id.bytes, CHECK_SIZE)


def data_key_wrap(master_key: bytes, salt: bytes) -> bytes:
    return _hkdf(master_key, salt, b"SFP1 data-key wrap")


def master_key_id(master_key: bytes) -> bytes:
    """The `kid`: 8 bytes that name a master key and give nothing away."""
    return _hkdf(master_key, b"", b"SFP1 master-key id", KID_SIZE)
