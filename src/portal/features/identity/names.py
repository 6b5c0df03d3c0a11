"""User names: which are valid, and which are equal."""

import unicodedata

from portal.core.unicode_safety import is_invisible

MAX_NAME = 64
_MAX_KEY = 256  # characters: NFKC can turn one letter into eighteen


def name_key(name: str) -> str:
    """The form in which names are compared: NFKC, case folded. Unique among users."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def is_name(text: str) -> bool:
    """Whether the text is a valid user name: 1 to MAX_NAME characters, no spaces or invisible ones, a short key."""
    if not 0 < len(text) <= MAX_NAME or any(is_invisible(c) or unicodedata.category(c) == "Zs" for c in text):
        return False
    return 0 < len(name_key(text)) <= _MAX_KEY
