"""Invisible and bidirectional characters, which make a name look different from what it is.

Names of files (as offered for download) and of users must not contain them.
"""

import unicodedata

import regex

_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # Cf includes the bidirectional overrides
# Unicode's default-ignorable characters (Hangul fillers, variation selectors, joiners), and the blank Braille cell.
_ORDERS = regex.compile(r"[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}--\n]", regex.VERSION1)
_IGNORABLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}\u2800]")


def is_invisible(character: str) -> bool:
    """Whether `character` is invisible, a control, unassigned or private, or reorders others. A space is not."""
    return unicodedata.category(character) in _CATEGORIES or _IGNORABLE.fullmatch(character) is not None


def visible(text: str) -> str:
    """The text with control characters but line ends written out: what a stranger wrote gives a terminal no orders."""
    return _ORDERS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
