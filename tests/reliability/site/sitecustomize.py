"""A nonce ledger: every Python that finds this first on its path writes down which nonce it used under which key.

The file that NONCE_LEDGER names gets one entry of fixed size for every call of AES-GCM that seals, before the call: so
that a killed process has written down what it may have sealed. `ledger.py` reads it. Production never loads it.
"""

import functools
import hashlib
import os
from typing import Any

from cryptography.hazmat.primitives.ciphers import aead

_KEY_BYTES = 20  # of the key's digest
_sealing = aead.AESGCM


@functools.cache
def _ledger() -> int:
    """Its descriptor: opened at once, or for the first entry where a process is prepared and learns later who it is."""
    return os.open(os.environ["NONCE_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


class _Recorded:
    """AESGCM, on record."""

    def __init__(self, key: bytes) -> None:
        self._aead = _sealing(key)
        self._key = hashlib.sha256(key).digest()[:_KEY_BYTES]

    def encrypt(self, nonce: bytes, *rest: Any) -> bytes:
        self._note(nonce)
        return self._aead.encrypt(nonce, *rest)

    def encrypt_into(self, nonce: bytes, *rest: Any) -> int:
        self._note(nonce)
        return self._aead.encrypt_into(nonce, *rest)

    def decrypt(self, *arguments: Any) -> bytes:
        return self._aead.decrypt(*arguments)

    def decrypt_into(self, *arguments: Any) -> int:
        return self._aead.decrypt_into(*arguments)

    def _note(self, nonce: bytes) -> None:
        os.writev(_ledger(), [self._key + nonce])  # a call of its own: a fault in the portal's writes is not for us


aead.AESGCM = _Recorded  # type: ignore[assignment]
if "NONCE_LEDGER" in os.environ:
    _ledger()
