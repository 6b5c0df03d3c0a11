"""Wrapped keys: a file key under a data key, a data key under a master key (`docs/format.md` 1).

A wrapped key is bound to its context (the blob, or the data key's id and scope) and opens in that context only. Every
wrap draws its own salt and nonce, so two wraps of one key differ.
"""

import os
import struct
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portal.core.errors import IntegrityError
from portal.core.key_scopes import is_scope
from portal.crypto import derive
from portal.crypto.derive import KEY_SIZE, KID_SIZE
from portal.crypto.format import BlobContext

_VERSION = b"\x01"
_SALT = 32
_NONCE = 12
_SEALED_KEY = KEY_SIZE + 16
FILE_KEY_WRAP_SIZE = 1 + _SALT + _NONCE + _SEALED_KEY
DATA_KEY_WRAP_SIZE = FILE_KEY_WRAP_SIZE + KID_SIZE
_FILE_AAD = struct.Struct(">13sB16s16sII16s")


def new_key() -> bytes:
    """32 random bytes from the operating system."""
    return os.urandom(KEY_SIZE)


def wrap_file_key(file_key: bytes, data_key: bytes, data_key_id: UUID, context: BlobContext) -> bytes:
    """`file_key` (32 bytes), wrapped under `data_key` and bound to `context` and `data_key_id`.

    Returns `FILE_KEY_WRAP_SIZE` bytes. Raises RuntimeError for a file key of another length: a bug, never an input.
    """
    if len(file_key) != KEY_SIZE:
        raise RuntimeError("a file key of the wrong length")
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    aead = AESGCM(derive.file_key_wrap(data_key, salt))
    return _VERSION + salt + nonce + aead.encrypt(nonce, file_key, _file_aad(context, data_key_id))


def unwrap_file_key(wrapped: bytes, data_key: bytes, data_key_id: UUID, context: BlobContext) -> bytes:
    """The file key. Raises IntegrityError unless `wrapped` was made for exactly this place under this data key."""
    if len(wrapped) != FILE_KEY_WRAP_SIZE or wrapped[:1] != _VERSION:
        raise IntegrityError
    salt, nonce, sealed = wrapped[1 : 1 + _SALT], wrapped[1 + _SALT : -_SEALED_KEY], wrapped[-_SEALED_KEY:]
    try:
        return AESGCM(derive.file_key_wrap(data_key, salt)).decrypt(nonce, sealed, _file_aad(context, data_key_id))
    except InvalidTag:
        raise IntegrityError from None


def data_key_context(kid: bytes, data_key_id: UUID, scope: str) -> bytes:
    """The associated data that every key provider must bind a wrapped data key to.

    Raises IntegrityError for a malformed scope.
    """
    if not is_scope(scope):
        raise IntegrityError
    return b"SFP1 data-key" + _VERSION + kid + data_key_id.bytes + scope.encode("ascii")


def wrap_data_key(data_key: bytes, master_key: bytes, context: bytes) -> bytes:
    """`data_key`, wrapped as a provider that has the master key itself does (`env:`).

    `context` comes from `data_key_context`.
    """
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    sealed = AESGCM(derive.data_key_wrap(master_key, salt)).encrypt(nonce, data_key, context)
    return _VERSION + derive.master_key_id(master_key) + salt + nonce + sealed


def wrapped_under(wrapped: bytes) -> bytes:
    """The `kid` (8 bytes) of the master key that wrapped a data key; it is not authenticated here.

    Raises IntegrityError for bytes that are not such a wrapped key.
    """
    if len(wrapped) != DATA_KEY_WRAP_SIZE or wrapped[:1] != _VERSION:
        raise IntegrityError
    return wrapped[1 : 1 + KID_SIZE]


def unwrap_data_key(wrapped: bytes, master_key: bytes, context: bytes) -> bytes:
    """The data key. Raises IntegrityError for another master key, another context or changed bytes."""
    if wrapped_under(wrapped) != derive.master_key_id(master_key):
        raise IntegrityError
    body = wrapped[1 + KID_SIZE :]
    salt, nonce, sealed = body[:_SALT], body[_SALT:-_SEALED_KEY], body[-_SEALED_KEY:]
    try:
        return AESGCM(derive.data_key_wrap(master_key, salt)).decrypt(nonce, sealed, context)
    except InvalidTag:
        raise IntegrityError from None


def _file_aad(context: BlobContext, data_key_id: UUID) -> bytes:
    return _FILE_AAD.pack(
        b"SFP1 file-key",
        1,
        context.file_id.bytes,
        context.blob_id.bytes,
        context.part,
        context.key_generation,
        data_key_id.bytes,
    )
