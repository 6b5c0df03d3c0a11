"""Access tokens: JWTs (RFC 7519) of exactly one form. The only module that imports `jose`.

Comes in: claims. Leaves: a token, or the claims of an unexpired token that the portal signed. python-jose accepts far
more than it should by default. It therefore sees a token only after the header was found to be, byte for byte, one that
the portal writes: no other algorithm, no `crit`, no chosen `kid`, no deep JSON before the signature check.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from jose import jwk, jwt
from jose.exceptions import JOSEError

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
_REQUIRED = {f"require_{claim}": True for claim in ("aud", "iss", "jti", "sub")}


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
        key = self._by_header.get(token.partition(".")[0]) if len(token) <= _MAX_BYTES else None
        if key is None:
            raise NotSignedIn
        try:
            body = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                issuer=_ISSUER,
                # The times are checked below, against the portal's own clock.
                options={**_REQUIRED, "verify_exp": False, "verify_iat": False},
            )
            issued, expires, audience = body["iat"], body["exp"], body["aud"]
            user_id, session_id = UUID(body["sub"]), UUID(body["sid"])
        except (JOSEError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
            raise NotSignedIn from None
        if audience != _AUDIENCE or not _lasts(issued, expires, now.timestamp()):
            raise NotSignedIn
        return AccessClaims(user_id, session_id)


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
