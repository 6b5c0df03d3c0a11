"""Encryption of a small secret that is stored in a database row (AES-256-GCM with a random nonce).

`context` names the row and is the associated data: a ciphertext copied into another row does not open. The key is one
derived for this purpose alone. Next: `features/identity`, `features/signing`.
"""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portal.core.errors import IntegrityError
from portal.core.secrets import PurposeKey

_NONCE = 12
_KID = 8


class SecretBox:
    """Seals secrets of one purpose under keys from SECRET_KEY, newest first: the newest seals, every key opens."""

    def __init__(self, keys: Sequence[PurposeKey]) -> None:
        self._newest = keys[0]
        self._by_kid = {bytes.fromhex(key.kid): key.key for key in keys}

    def seal(self, context: bytes, secret: bytes) -> bytes:
        """The id of the key (8 bytes), and what `seal` returns."""
        return bytes.fromhex(self._newest.kid) + seal(self._newest.key.reveal(), context, secret)

    def is_newest(self, sealed: bytes) -> bool:
        """Whether a secret was sealed with the newest key."""
        return sealed[:_KID] == bytes.fromhex(self._newest.kid)

    def open(self, context: bytes, sealed: bytes) -> bytes:
        """The secret. Raises IntegrityError for another row, a changed bit, or a key that was removed."""
        key = self._by_kid.get(sealed[:_KID])
        if key is None:
            raise IntegrityError
        return unseal(key.reveal(), context, sealed[_KID:])


def seal(key: bytes, context: bytes, secret: bytes) -> bytes:
    """The nonce (12 bytes), the ciphertext and the tag (16 bytes)."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, secret, context)


def unseal(key: bytes, context: bytes, sealed: bytes) -> bytes:
    """The secret. Raises IntegrityError unless `sealed` was made for exactly this place under this key."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
    except (InvalidTag, ValueError):
        raise IntegrityError from None
