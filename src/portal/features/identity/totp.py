"""Authenticator codes (TOTP, RFC 6238: SHA-1, six digits, 30 seconds), and encryption of their secrets at rest.

The only module that imports `pyotp`. Comes in: a secret, a time, a code. Leaves: the time step of the code, or None.
Next: `factors` accepts each step once.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import pyotp

from portal.core.secrets import Secret, purpose_keys
from portal.crypto.secret_box import SecretBox

_STEP_SECONDS = 30
_APART = 1  # steps of clock difference that are accepted
_ISSUER = "portal"


def new_totp_secret() -> str:
    """A new secret of 160 random bits, in base32 as authenticator apps expect it."""
    return pyotp.random_base32()


def otpauth_uri(secret: str, name: str) -> str:
    """The `otpauth://` URI for the QR code that an authenticator app scans."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=_ISSUER)


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The 30-second step, current or adjacent, that the code is of. None where it is of none.

    Every candidate is compared, each in constant time.
    """
    current, totp, found = int(now.timestamp()) // _STEP_SECONDS, pyotp.TOTP(secret), None
    for step in range(current - _APART, current + _APART + 1):
        right = hmac.compare_digest(totp.generate_otp(step).encode(), code.encode("utf-8", "surrogatepass"))
        found = step if right else found
    return found


class TotpSecrets:
    """Encrypts TOTP secrets at rest, each bound to its user's row. The newest key seals; every key opens."""

    def __init__(self, secret_keys: Sequence[Secret]) -> None:
        self._box = SecretBox(purpose_keys(secret_keys, "totp secret"))

    def seal(self, user_id: UUID, secret: str) -> bytes:
        return self._box.seal(user_id.bytes, secret.encode())

    def is_newest(self, sealed: bytes) -> bool:
        """Whether a secret was sealed with the newest key."""
        return self._box.is_newest(sealed)

    def open(self, user_id: UUID, sealed: bytes) -> str:
        """Decrypt a secret. Raises IntegrityError for another user's row, a changed bit, or a key that was removed."""
        return self._box.open(user_id.bytes, sealed).decode()
