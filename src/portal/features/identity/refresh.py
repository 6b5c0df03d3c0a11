"""Refresh tokens: opaque to clients, ours by their MAC, told apart by their digest.

Comes in: a session's id. Leaves: a token and the digest to keep; or, for a token that comes back, whose it is. A token
with a right MAC and another digest than its session's was used before. What takes a token's place is derived from it:
so an answer that was lost can be given again although no token is kept. Next: `sessions` says for how long.
"""

import hmac
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from uuid import UUID

from portal.core.errors import InvalidGrant
from portal.core.secrets import PurposeKey, Secret, purpose_keys

_MAX_CHARACTERS = 200


class RefreshTokens:
    """Signs with the newest key, verifies with all."""

    def __init__(self, secret_keys: Sequence[Secret]) -> None:
        self._keys = purpose_keys(secret_keys, "refresh token")
        self._successor_keys = purpose_keys(secret_keys, "refresh token successor")

    def issue(self, session_id: UUID) -> tuple[str, bytes]:
        """A fresh token of 256 random bits, and the digest that alone is kept of it."""
        return _signed(self._keys[0], session_id.hex, os.urandom(32))

    def successors(self, token: str) -> Iterator[tuple[str, bytes]]:
        """What takes a token's place, and its digest: the same each time, and only our keys can tell.

        The first is the one to give; the others are what it would have been under each older key.
        """
        for signing, deriving in zip(self._keys, self._successor_keys, strict=True):
            secret = hmac.digest(deriving.key.reveal(), token.encode(), sha256)
            yield _signed(signing, token.partition(".")[0], secret)

    def read(self, token: str) -> tuple[UUID, bytes]:
        """The session a token was issued for, and its digest. Raises InvalidGrant for what we never issued."""
        body, _, mac = token.rpartition(".")
        known = len(token) <= _MAX_CHARACTERS and token.isascii()
        if not known or not any(hmac.compare_digest(mac, _mac(key, body)) for key in self._keys):
            raise InvalidGrant
        return UUID(hex=body.partition(".")[0]), sha256(token.encode()).digest()


def _signed(key: PurposeKey, session: str, secret: bytes) -> tuple[str, bytes]:
    body = f"{session}.{_text(secret)}"
    token = f"{body}.{_mac(key, body)}"
    return token, sha256(token.encode()).digest()


def _mac(key: PurposeKey, body: str) -> str:
    return _text(hmac.digest(key.key.reveal(), body.encode(), sha256)[:16])


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
