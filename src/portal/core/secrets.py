"""Secrets in the memory of this process: a parser of key texts, and keys derived from SECRET_KEY, one per purpose.

Comes in: configured key texts. Leaves: `Secret` values that print as `***`, and 32-byte purpose keys.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

KEY_BYTES = 32
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")


class Secret:
    """Secret bytes. Only `reveal()` returns them: repr, str and f-strings show `***`. Compares in constant time."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)


def parse_key(text: str) -> Secret | None:
    """A 32-byte key from 64 hex digits or from 44 characters of base64; None for any other text."""
    text = text.strip()
    if _HEX_KEY.fullmatch(text):
        return Secret(bytes.fromhex(text))
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return Secret(raw) if len(raw) == KEY_BYTES else None


@dataclass(frozen=True, slots=True)
class PurposeKey:
    """A key for one purpose. `kid` identifies the SECRET_KEY value it was derived from, and reveals nothing of it."""

    kid: str
    key: Secret


def purpose_keys(secret_keys: Sequence[Secret], purpose: str) -> tuple[PurposeKey, ...]:
    """One key per SECRET_KEY value, newest first: sign with the first, verify with all of them.

    Derived by HKDF-SHA256 with one 32-byte block (RFC 5869, empty salt). It is written with hmac so that `core` needs
    no library.
    """
    return tuple(
        PurposeKey(
            kid=_expand(secret, f"portal kid {purpose}").hex()[:16],
            key=Secret(_expand(secret, f"portal key {purpose}")),
        )
        for secret in secret_keys
    )


def _expand(secret: Secret, info: str) -> bytes:
    extracted = hmac.digest(bytes(KEY_BYTES), secret.reveal(), sha256)
    return hmac.digest(extracted, info.encode() + b"\x01", sha256)
