"""File names from strangers: kept as data, and made safe for whoever saves the download.

Comes in: any text. Leaves: the name as it was, or a refusal; and for the download a last component that no system
takes for a path, a device, a hidden file or something that reads differently than it is.
"""

import unicodedata

import regex

from portal.core.errors import InvalidInput
from portal.core.unicode_safety import is_invisible

MAX_NAME_BYTES = 4096
NAME_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
"""What `checked_name` takes, for documents: beyond it there are only the limit in bytes and lone surrogates."""

_MAX_DOWNLOAD_BYTES = 255
_MAX_SUFFIX_BYTES = 32
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_RESERVED = regex.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)\s*(\..*)?", regex.DOTALL)
_FORBIDDEN = str.maketrans(dict.fromkeys('<>:"|?*', "_"))  # Windows
# As shares of Windows write the same letters for Linux and macOS: unseen ones would just go, and join what they divide.
_ON_SHARES = str.maketrans(dict.fromkeys((chr(0xF000 + ord(letter)) for letter in '<>:"|?*\\'), "_"))


def checked_name(name: str) -> str:
    """The name itself. Raises InvalidInput for an empty or overlong one and for control characters."""
    if not name or any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        raise InvalidInput("A file name is not empty and has no control characters.")
    if len(name.encode("utf-8")) > MAX_NAME_BYTES:
        raise InvalidInput(f"A file name has at most {MAX_NAME_BYTES} bytes.")
    return name


def download_name(name: str) -> str:
    """The name to offer for saving: at most 255 bytes of UTF-8, never empty, never a path."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2].translate(_ON_SHARES)
    shown = "".join(c for c in last if not is_invisible(c))
    safe = shown.translate(_FORBIDDEN)
    while (better := _harmless(_cut(safe))) != safe:  # what a cut leaves is judged again; each round is shorter
        safe = better
    return safe or "file"


def _harmless(name: str) -> str:
    trimmed = name.strip().rstrip(". ").rstrip()
    if trimmed.startswith(".") or _RESERVED.fullmatch(trimmed):
        return "_" + trimmed
    return trimmed


def _cut(name: str) -> str:
    """At most 255 bytes, cut between graphemes where one fits at all, the suffix kept."""
    if len(name.encode()) <= _MAX_DOWNLOAD_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > _MAX_SUFFIX_BYTES:
        stem, dot, suffix = name, "", ""
    room = _MAX_DOWNLOAD_BYTES - len((dot + suffix).encode())
    return (_fitting(regex.findall(r"\X", stem), room) or _fitting(list(stem), room)) + dot + suffix


def _fitting(pieces: list[str], room: int) -> str:
    """As many whole pieces as have at most `room` bytes."""
    kept, size = [], 0
    for piece in pieces:
        size += len(piece.encode())
        if size > room:
            break
        kept.append(piece)
    return "".join(kept)
