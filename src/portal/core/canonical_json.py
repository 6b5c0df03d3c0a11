"""Canonical JSON: one value has exactly one text, so that a signature over the text is one over the value.

Comes in: objects, arrays, texts, whole numbers, booleans and null. Leaves: the bytes that RFC 8785 (JCS) has for them.
It is a subset of JCS, so that every language has it at hand: see `docs/receipts.md`. Next: `features/signing`.
"""

import json
import re
from typing import Any, Final

LARGEST: Final = (1 << 53) - 1  # the largest whole number that every language reads exactly
DEEPEST: Final = 32
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)  # sorts alike by characters, bytes and UTF-16


def encode(value: Any) -> bytes:
    """The canonical text in UTF-8. Raises ValueError for a value outside of the subset."""
    _require_plain(value, DEEPEST)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()  # a surrogate alone is a UnicodeEncodeError, which is a ValueError


def decode(text: bytes) -> Any:
    """The value of a canonical text. Raises ValueError for any other text, also for another spelling of one."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
    if encode(value) != text:
        raise ValueError("no canonical JSON")
    return value


def _require_plain(value: Any, levels: int) -> None:
    if levels == 0:
        raise ValueError("JSON that is nested too deeply")
    if isinstance(value, dict):
        for name, member in value.items():
            _require_name(name)
            _require_plain(member, levels - 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _require_plain(item, levels - 1)
    elif not (value is None or isinstance(value, str | bool) or _is_whole(value)):
        raise ValueError(f"{type(value).__name__} has no canonical JSON here")


def _require_name(name: Any) -> None:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ValueError("a member's name has a-z, 0-9 and _ alone")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and -LARGEST <= value <= LARGEST
