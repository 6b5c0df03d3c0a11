"""Encryption of a small secret that is stored in a database row (AES-256-GCM with a random nonce).

`context` names the row and is the associated data: a ciphertext copied into another row does not open. The key is one
derived for this purpose alone. Next: `features/identity`.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portal.core.errors import IntegrityError

_NONCE = 12


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
