"""Access tokens: JWTs (RFC 7519) of exactly one form. The only module that imports `jose`.

Comes in: claims. Leaves: a token, or the claims of an unexpired token that the portal signed. python-jose accepts far
more than it should by default, so it signs and never parses. A token is read if its header is, byte for byte, one that
the portal writes, and its signature the one that our key makes: no other algorithm, no `crit`, no chosen `kid`, no JSON
before the signature check.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any
from uuid import UUID

from jose import jwk, jwt
from jose.utils import base64url_decode, base64url_encode

from portal.core.errors import NotSignedIn
from portal.core.ids import new_id
from portal.core.secrets import PurposeKey, Secret, purpose_keys

LIFETIME = timedelta(minutes=15)
_LIFETIME_SECONDS = int(LIFETIME.total_seconds())
_LEEWAY_SECONDS = 60  # the clock difference allowed between two machines that sign
_MAX_BYTES = 8192
_ALGORITHM = "HS256"
_ISSUER = "portal"
_AUDIENCE = "portal-api"
_TYPE = "at+jwt"  # RFC 9068: never taken for a token of another kind


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """The user and the session of an access token."""

    user_id: UUID
    session_id: UUID


class AccessTokens:
    """Issues and reads access tokens. The newest key signs; every key verifies. Does no I/O."""

    def __init__(self, secret_keys: Sequence[Secret]) -> None:
        keys = purpose_keys(secret_keys, "access token")
        if not keys:
            raise RuntimeError("access tokens need a key")
        self._signing = keys[0]
        self._by_header = {_header_of(key): jwk.construct(key.key.reveal(), _ALGORITHM) for key in keys}

    def issue(self, claims: AccessClaims, now: datetime, serial: UUID | None = None) -> str:
        """A token that expires LIFETIME after `now`.

        `serial` becomes its `jti`. With the same `serial` and `now`, the token is the same; without one it is random.
        """
        body: dict[str, str | int] = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": str(claims.user_id),
            "sid": str(claims.session_id),
            "jti": str(serial or new_id()),
            "iat": int(now.timestamp()),
            "exp": int(now.timestamp()) + _LIFETIME_SECONDS,
        }
        return _sign(body, self._signing)

    def read(self, token: str, now: datetime) -> AccessClaims:
        """The claims of a token from `issue` that has not expired at `now`. Raises NotSignedIn for any other text."""
        try:
            return _claims(self._signed(token), now.timestamp())
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            raise NotSignedIn from None

    def _signed(self, token: str) -> Any:
        """The JSON of a token that we signed. Raises NotSignedIn, ValueError, RecursionError."""
        signed, _, signature = token.rpartition(".")
        header, _, body = signed.partition(".")
        key = self._by_header.get(header) if len(token) <= _MAX_BYTES else None
        if key is None or not compare_digest(base64url_encode(key.sign(signed.encode())), signature.encode()):
            raise NotSignedIn
        return json.loads(base64url_decode(body.encode()))


def _claims(body: Any, now: float) -> AccessClaims:
    """Raises NotSignedIn, KeyError, TypeError, ValueError, AttributeError for a body that is not one of ours."""
    ours = body["iss"] == _ISSUER and body["aud"] == _AUDIENCE and isinstance(body["jti"], str)
    if not ours or not _lasts(body["iat"], body["exp"], now):
        raise NotSignedIn
    return AccessClaims(UUID(body["sub"]), UUID(body["sid"]))


def _lasts(issued: object, expires: object, now: float) -> bool:
    """Whether a token is unexpired and its lifetime at most LIFETIME, even where the portal's key signed a longer one.

    Times are seconds since the epoch. Only `issued` has leeway: a token may come from a machine whose clock is ahead.
    """
    if type(issued) is not int or type(expires) is not int:
        return False
    return issued <= now + _LEEWAY_SECONDS and now < expires <= issued + _LIFETIME_SECONDS


def _sign(body: dict[str, str | int], key: PurposeKey) -> str:
    return jwt.encode(body, key.key.reveal(), algorithm=_ALGORITHM, headers={"kid": key.kid, "typ": _TYPE})


def _header_of(key: PurposeKey) -> str:
    return _sign({}, key).partition(".")[0]
