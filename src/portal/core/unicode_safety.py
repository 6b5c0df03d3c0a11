"""Letters that nobody sees, or that make a text read differently than it is: no part of a name that people judge by.

Comes in: one character. Leaves: yes or no. Next: names of files as they are offered, names of users.
"""

import unicodedata

import regex

_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # Cf holds the bidirectional overrides
# What Unicode itself calls ignorable (Hangul fillers, variation selectors, joiners), and the Braille cell without dots.
_IGNORABLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}\u2800]")


def is_invisible(character: str) -> bool:
    """Whether `character` shows nothing, shows differently everywhere, or turns others around. Spaces do not count."""
    return unicodedata.category(character) in _CATEGORIES or _IGNORABLE.fullmatch(character) is not None
