"""Refresh tokens: opaque to clients, ours by their MAC, told apart by their digest.

Comes in: a session's id. Leaves: a token and the digest to keep; or, for a token that comes back, whose it is. A token
with a right MAC and another digest than its session's was used before: someone has a copy.
"""

import hmac
import os
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from portal.core.errors import InvalidGrant
from portal.core.secrets import PurposeKey, Secret, purpose_keys

_MAX_CHARACTERS = 200


class RefreshTokens:
    """Signs with the newest key, verifies with all."""

    def __init__(self, secret_keys: Sequence[Secret]) -> None:
        self._keys = purpose_keys(secret_keys, "refresh token")

    def issue(self, session_id: UUID) -> tuple[str, bytes]:
        """A fresh token of 256 random bits, and the digest that alone is kept of it."""
        body = f"{session_id.hex}.{_text(os.urandom(32))}"
        token = f"{body}.{_mac(self._keys[0], body)}"
        return token, sha256(token.encode()).digest()

    def read(self, token: str) -> tuple[UUID, bytes]:
        """The session a token was issued for, and its digest. Raises InvalidGrant for what we never issued."""
        body, _, mac = token.rpartition(".")
        known = len(token) <= _MAX_CHARACTERS and token.isascii()
        if not known or not any(hmac.compare_digest(mac, _mac(key, body)) for key in self._keys):
            raise InvalidGrant
        return UUID(hex=body.partition(".")[0]), sha256(token.encode()).digest()


def _mac(key: PurposeKey, body: str) -> str:
    return _text(hmac.digest(key.key.reveal(), body.encode(), sha256)[:16])


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
