"""Secrets that say what they are: a mark, forty random letters and digits, and six that check them.

Comes in: nothing, or a text that claims to be such a secret. Leaves: a new one, or the digest that it is looked up by.
The mark lets scanners for leaked secrets recognise one, and no kind be taken for another; the check refuses a mistyped
or made-up one without a look at the database. With 238 random bits there is nothing to guess, so one SHA-256 is enough
(no salt, no stretching).
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

API_TOKEN, LINK, LINK_SESSION, ONE_TIME = "prt_", "prl_", "prs_", "pinv_"
PREFIXES = (API_TOKEN, LINK, LINK_SESSION, ONE_TIME)
"""How the portal's own secrets begin. The log hides what begins so: a new kind is added here or cannot be made."""

_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM, _CHECK = 40, 6


@dataclass(frozen=True, slots=True)
class TokenKind:
    """One kind of secret, by how it begins."""

    prefix: str
    _form: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.prefix not in PREFIXES:
            raise ValueError("a secret whose prefix the log would not hide")
        form = re.compile(rf"{self.prefix}([0-9A-Za-z]{{{_RANDOM}}})([0-9A-Za-z]{{{_CHECK}}})", re.ASCII)
        object.__setattr__(self, "_form", form)

    def new(self) -> str:
        """A new secret. Show it once and keep its digest."""
        random = "".join(secrets.choice(_LETTERS) for _ in range(_RANDOM))
        return f"{self.prefix}{random}{_check(random)}"

    def matches(self, text: str) -> bool:
        """Whether the text claims to be one."""
        return text.startswith(self.prefix)

    def digest(self, text: str) -> bytes | None:
        """The 32 bytes that are kept of a secret; None for a text that `make` cannot have made."""
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
