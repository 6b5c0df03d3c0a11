"""A box: a small secret that rests in a row, sealed for that row alone (AES-256-GCM, a random nonce).

Comes in: a key of its own purpose, the place, the secret. Leaves: bytes, and back. Next: `features/identity`.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portal.core.errors import IntegrityError

_NONCE = 12


def seal(key: bytes, place: bytes, secret: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, secret, place)


def unseal(key: bytes, place: bytes, sealed: bytes) -> bytes:
    """Raises IntegrityError unless `sealed` was made for exactly this place under this key."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], place)
    except (InvalidTag, ValueError):
        raise IntegrityError from None
