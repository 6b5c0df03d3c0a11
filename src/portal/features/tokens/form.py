"""What an API token looks like: `prt_`, forty random letters and digits, and six that check them.

Comes in: nothing, or a text that claims to be a token. Leaves: a new token, or the digest that it is looked up by. The
prefix lets scanners for leaked secrets recognise one; the check refuses a mistyped or made-up one without a look at the
database. With 238 random bits there is nothing to guess, so one SHA-256 is enough (no salt, no stretching).
"""

import hashlib
import re
import secrets
import string
import zlib

from portal.core.errors import NotSignedIn

PREFIX = "prt_"
_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM, _CHECK = 40, 6
_FORM = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_RANDOM}}})([0-9A-Za-z]{{{_CHECK}}})", re.ASCII)


def make() -> str:
    """A new token. It is shown once and never kept."""
    random = "".join(secrets.choice(_LETTERS) for _ in range(_RANDOM))
    return f"{PREFIX}{random}{_check(random)}"


def digest(token: str) -> bytes:
    """The 32 bytes that are kept of a token. Raises NotSignedIn for what `make` cannot have made."""
    match = _FORM.fullmatch(token)
    if match is None or _check(match[1]) != match[2]:
        raise NotSignedIn
    return hashlib.sha256(token.encode()).digest()


def _check(random: str) -> str:
    number, letters = zlib.crc32(random.encode()), ""
    for _ in range(_CHECK):
        number, place = divmod(number, len(_LETTERS))
        letters = _LETTERS[place] + letters
    return letters
