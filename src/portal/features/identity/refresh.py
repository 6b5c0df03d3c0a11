"""Refresh tokens: opaque to clients, authenticated by a MAC, identified by a digest.

Comes in: a session's id, or a token that a client presents. Leaves: a token and the digest to store, or the session of
the token. Only digests are stored. A token with a valid MAC whose digest is not its session's current one was used
before. A token's successor is derived from it, so that a lost response can be repeated although no token is stored.
Next: `sessions` decides how long the response can be repeated.
"""

import hmac
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from uuid import UUID

from portal.core.secrets import PurposeKey, Secret, purpose_keys
from portal.features.identity.grant_errors import InvalidGrant

_MAX_CHARACTERS = 200


class RefreshTokens:
    """Issues and reads refresh tokens. The newest key signs; every key verifies."""

    def __init__(self, secret_keys: Sequence[Secret]) -> None:
        self._keys = purpose_keys(secret_keys, "refresh token")
        self._successor_keys = purpose_keys(secret_keys, "refresh token successor")

    def issue(self, session_id: UUID) -> tuple[str, bytes]:
        """A new token of 256 random bits and its SHA-256 digest. Only the digest is stored."""
        return _signed(self._keys[0], session_id.hex, os.urandom(32))

    def successors(self, token: str) -> Iterator[tuple[str, bytes]]:
        """The possible successors of a token, each with its digest, newest key first.

        The derivation is deterministic and needs the portal's keys. The first is the successor to issue now. The others
        are those that an older key would have derived: one of them may be stored since before a key rotation.
        """
        for signing, deriving in zip(self._keys, self._successor_keys, strict=True):
            secret = hmac.digest(deriving.key.reveal(), token.encode(), sha256)
            yield _signed(signing, token.partition(".")[0], secret)

    def read(self, token: str) -> tuple[UUID, bytes]:
        """The session that a token was issued for, and the token's digest.

        The MAC is compared in constant time. Raises InvalidGrant for a token that the portal never issued.
        """
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
