"""One-time secrets: for an invitation, for a new password, for a lost authenticator. Only digests of them are kept.

Comes in: nothing, or what somebody presents. Leaves: a text to show once, and its digest.
"""

import secrets
from hashlib import sha256

from portal.core.prefixed_tokens import ONE_TIME

_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"  # none that people take for another
_GROUPS, _GROUP = 4, 5


def new_secret() -> str:
    """256 random bits."""
    return ONE_TIME + secrets.token_urlsafe(32)


def new_recovery_code() -> str:
    """Nearly 99 random bits, to be written down by hand."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS))


def digest(secret: str) -> bytes:
    """What is kept of a secret. They are random and long: a slow hash would add nothing."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def recovery_digest(code: str) -> bytes:
    """The same for a recovery code, however it was typed."""
    return digest("".join(code.split()).replace("-", "").lower())
