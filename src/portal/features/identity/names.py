"""Names of users: which will do, and which are the same. Comes in: what was typed. Leaves: yes or no, or a key."""

import unicodedata

from portal.core.unicode_safety import is_invisible

MAX_NAME = 64
_MAX_KEY = 256  # characters: some letters are eighteen where names are compared


def name_key(name: str) -> str:
    """The name as names are compared: NFKC, case folded. Two users never share one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def is_name(text: str) -> bool:
    """Whether a user could be called that."""
    if not 0 < len(text) <= MAX_NAME or any(is_invisible(c) or unicodedata.category(c) == "Zs" for c in text):
        return False
    return 0 < len(name_key(text)) <= _MAX_KEY
