"""Codes of an authenticator (RFC 6238: SHA-1, six digits, thirty seconds), and its secret at rest. The door to `pyotp`.

Comes in: a secret, a moment, a code. Leaves: the step that the code belongs to, or None. Next: `factors` lets each step
count once.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import pyotp

from portal.core.errors import IntegrityError
from portal.core.secrets import Secret, purpose_keys
from portal.crypto import secret_box

_STEP_SECONDS = 30
_APART = 1  # steps that the two clocks may differ
_ISSUER = "portal"
_KID = 8


def new_totp_secret() -> str:
    """160 random bits, as authenticators take them."""
    return pyotp.random_base32()


def otpauth_uri(secret: str, name: str) -> str:
    """What an authenticator scans."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=_ISSUER)


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The step, now or next to it, whose code that is. Every candidate is compared, in constant time."""
    current, totp, found = int(now.timestamp()) // _STEP_SECONDS, pyotp.TOTP(secret), None
    for step in range(current - _APART, current + _APART + 1):
        right = hmac.compare_digest(totp.generate_otp(step).encode(), code.encode("utf-8", "surrogatepass"))
        found = step if right else found
    return found


class TotpSecrets:
    """Secrets at rest, each sealed for its user's row. Seals with the newest key, opens with all."""

    def __init__(self, secret_keys: Sequence[Secret]) -> None:
        keys = purpose_keys(secret_keys, "totp secret")
        self._newest = keys[0]
        self._by_kid = {bytes.fromhex(key.kid): key.key for key in keys}

    def seal(self, user_id: UUID, secret: str) -> bytes:
        key = self._newest
        return bytes.fromhex(key.kid) + secret_box.seal(key.key.reveal(), user_id.bytes, secret.encode())

    def is_newest(self, sealed: bytes) -> bool:
        """Whether the newest key sealed it."""
        return sealed[:_KID] == bytes.fromhex(self._newest.kid)

    def open(self, user_id: UUID, sealed: bytes) -> str:
        """Raises IntegrityError for the row of another, a changed bit, or a key that was taken away."""
        key = self._by_kid.get(sealed[:_KID])
        if key is None:
            raise IntegrityError
        return secret_box.unseal(key.reveal(), user_id.bytes, sealed[_KID:]).decode()
