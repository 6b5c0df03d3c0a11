"""Tokens with a prefix and a checksum: API tokens, links, link sessions, one-time tokens.

A token is a prefix, 40 random letters and digits, and a checksum of 6. Example: `prt_` + 40 + 6 characters. The prefix
lets secret scanners recognise a leaked token, and stops one kind from being accepted as another. The checksum refuses a
mistyped or invented token without a database query. With 238 random bits a token cannot be guessed, so one SHA-256 is
enough to store it (no salt, no stretching).
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

API_TOKEN, LINK, LINK_SESSION, ONE_TIME = "prt_", "prl_", "prs_", "pinv_"
PREFIXES = (API_TOKEN, LINK, LINK_SESSION, ONE_TIME)
"""The prefixes of every token kind. The log redacts texts that begin with one, so a kind without a prefix in this list
cannot be created.
"""

_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM, _CHECK = 40, 6


@dataclass(frozen=True, slots=True)
class TokenKind:
    """One kind of token, identified by its prefix. Raises ValueError for a prefix that is not in `PREFIXES`."""

    prefix: str
    _form: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.prefix not in PREFIXES:
            raise ValueError("a secret whose prefix the log would not hide")
        form = re.compile(rf"{self.prefix}([0-9A-Za-z]{{{_RANDOM}}})([0-9A-Za-z]{{{_CHECK}}})", re.ASCII)
        object.__setattr__(self, "_form", form)

    def new(self) -> str:
        """A new token. Show it to its owner once, and store only its digest."""
        random = "".join(secrets.choice(_LETTERS) for _ in range(_RANDOM))
        return f"{self.prefix}{random}{_check(random)}"

    def matches(self, text: str) -> bool:
        """Whether the text begins with this prefix; the checksum is not verified."""
        return text.startswith(self.prefix)

    def digest(self, text: str) -> bytes | None:
        """The SHA-256 (32 bytes) that is stored for a token; None for a text that `new` cannot have returned."""
        match = self._form.fullmatch(text)
        if match is None or _check(match[1]) != match[2]:
            return None
        return hashlib.sha256(text.encode()).digest()


def _check(random: str) -> str:
    number, letters = zlib.crc32(random.encode()), ""
    for _ in range(_CHECK):
        number, place = divmod(number, len(_LETTERS))
        letters = _LETTERS[place] + letters
    return letters
