"""File names from untrusted clients: stored unchanged as data, and made safe for saving a download.

Comes in: any text. Leaves: the name unchanged, or a refusal; for a download, a last path component that no system takes
for a path, a device or a hidden file, and that does not display as another name than it is.
"""

import unicodedata

import regex

from portal.core.errors import InvalidInput
from portal.core.unicode_safety import is_invisible

MAX_NAME_BYTES = 4096
NAME_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
"""The names that `checked_name` accepts, for the OpenAPI document.

Two checks are not in the pattern: the limit in bytes, and lone surrogates.
"""

_MAX_DOWNLOAD_BYTES = 255
_MAX_SUFFIX_BYTES = 32
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_RESERVED = regex.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)\s*(\..*)?", regex.DOTALL)
_FORBIDDEN = str.maketrans(dict.fromkeys('<>:"|?*', "_"))  # Windows
# Windows shares map these characters to private-use ones (U+F0xx) for Linux and macOS. As invisible characters they
# would be removed below, which would join the parts that they separate; so they become "_" first.
_ON_SHARES = str.maketrans(dict.fromkeys((chr(0xF000 + ord(letter)) for letter in '<>:"|?*\\'), "_"))


def checked_name(name: str) -> str:
    """Return the name unchanged. Raises InvalidInput if it is empty, is over 4096 bytes, or has control characters."""
    if not name or any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        raise InvalidInput("A file name is not empty and has no control characters.")
    if len(name.encode("utf-8")) > MAX_NAME_BYTES:
        raise InvalidInput(f"A file name has at most {MAX_NAME_BYTES} bytes.")
    return name


def download_name(name: str) -> str:
    """The name under which a client should save the file: at most 255 bytes of UTF-8, never empty, never a path."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2].translate(_ON_SHARES)
    shown = "".join(c for c in last if not is_invisible(c))
    safe = shown.translate(_FORBIDDEN)
    while (better := _harmless(_cut(safe))) != safe:  # a cut name is checked again; each round is shorter
        safe = better
    return safe or "file"


def _harmless(name: str) -> str:
    trimmed = name.strip().rstrip(". ").rstrip()
    if trimmed.startswith(".") or _RESERVED.fullmatch(trimmed):
        return "_" + trimmed
    return trimmed


def _cut(name: str) -> str:
    """The name cut to at most 255 bytes. A suffix of at most 32 bytes is kept.

    The cut is between graphemes; it is between code points only if not even one grapheme fits.
    """
    if len(name.encode()) <= _MAX_DOWNLOAD_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > _MAX_SUFFIX_BYTES:
        stem, dot, suffix = name, "", ""
    room = _MAX_DOWNLOAD_BYTES - len((dot + suffix).encode())
    return (_fitting(regex.findall(r"\X", stem), room) or _fitting(list(stem), room)) + dot + suffix


def _fitting(pieces: list[str], room: int) -> str:
    """The first pieces that fit together into `room` bytes of UTF-8, joined."""
    kept, size = [], 0
    for piece in pieces:
        size += len(piece.encode())
        if size > room:
            break
        kept.append(piece)
    return "".join(kept)
