"""Access tokens: JWTs (RFC 7519) of exactly one shape. The only door to `jose`.

Comes in: what to claim. Leaves: a token, or the claims of one that we signed and that has not expired. python-jose
accepts far more than it should when called plainly, so it sees a token only after its header proved to be, byte for
byte, one that we write: no foreign algorithm, no `crit`, no `kid` games, no deep JSON before the signature.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from jose import jwt
from jose.exceptions import JOSEError

from portal.core.errors import NotSignedIn
from portal.core.ids import new_id
from portal.core.secrets import PurposeKey, Secret, purpose_keys

LIFETIME = timedelta(minutes=15)
_LIFETIME_SECONDS = int(LIFETIME.total_seconds())
_LEEWAY_SECONDS = 60  # how far apart the clocks of two machines that sign may be
_MAX_BYTES = 8192
_ALGORITHM = "HS256"
_ISSUER = "portal"
_AUDIENCE = "portal-api"
_TYPE = "at+jwt"  # RFC 9068: never taken for a token of another kind
_REQUIRED = {f"require_{claim}": True for claim in ("aud", "iss", "jti", "sub")}


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """Who signed in, and in which session."""

    user_id: UUID
    session_id: UUID


class AccessTokens:
    """Signs with the newest key, verifies with all."""

    def __init__(self, secret_keys: Sequence[Secret]) -> None:
        keys = purpose_keys(secret_keys, "access token")
        if not keys:
            raise RuntimeError("access tokens need a key")
        self._signing = keys[0]
        self._by_header = {_header_of(key): key for key in keys}

    def issue(self, claims: AccessClaims, now: datetime, serial: UUID | None = None) -> str:
        """A token good for LIFETIME from `now`; with a `serial` the same one each time."""
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
        """Raises NotSignedIn for everything but a token that `issue` made and that still lasts at `now`."""
        key = self._by_header.get(token.partition(".")[0]) if len(token) <= _MAX_BYTES else None
        if key is None:
            raise NotSignedIn
        try:
            body = jwt.decode(
                token,
                key.key.reveal(),
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                issuer=_ISSUER,
                # Times are judged below, by the portal's own clock.
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
    """Whether a token born then still lasts, and no longer than one of ours would: whatever our key signed."""
    if type(issued) is not int or type(expires) is not int:
        return False
    return issued <= now + _LEEWAY_SECONDS and now < expires <= issued + _LIFETIME_SECONDS


def _sign(body: dict[str, str | int], key: PurposeKey) -> str:
    return jwt.encode(body, key.key.reveal(), algorithm=_ALGORITHM, headers={"kid": key.kid, "typ": _TYPE})


def _header_of(key: PurposeKey) -> str:
    return _sign({}, key).partition(".")[0]
