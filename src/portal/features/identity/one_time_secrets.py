"""One-time secrets: for an invitation, a new password, or a lost authenticator. Only their digests are stored."""

import secrets
from hashlib import sha256

from portal.core.prefixed_tokens import ONE_TIME

_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"  # no two that look alike
_GROUPS, _GROUP = 4, 5


def new_secret() -> str:
    """A new secret with 256 random bits, to be shown once."""
    return ONE_TIME + secrets.token_urlsafe(32)


def new_recovery_code() -> str:
    """A new recovery code with nearly 99 random bits, for writing down by hand: four groups of five letters."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS))


def digest(secret: str) -> bytes:
    """The SHA-256 digest to store. The secrets are long and random, so a slow hash would add nothing."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def recovery_digest(code: str) -> bytes:
    """The digest of a recovery code. Spaces, hyphens and letter case do not matter."""
    return digest("".join(code.split()).replace("-", "").lower())
