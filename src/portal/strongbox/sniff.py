"""What a file's first bytes look like to libmagic: recorded, never trusted. The only door to `magic`.

The system's libmagic is used where there is one; else the copy that `pylibmagic` carries. Importing the latter beside
a system library would point that one at a database of another version, so it is imported only when needed.
"""

import contextlib
import importlib
import sys
from functools import cache
from typing import Any

from portal.core.buffer import Buffer

UNKNOWN = "application/octet-stream"
SNIFFED_BYTES = 8192


class Sniffer:
    """Keeps the first bytes that pass; `finish` names their type."""

    __slots__ = ("_head",)

    def __init__(self) -> None:
        self._head = bytearray()

    def feed(self, chunk: Buffer) -> None:
        if len(self._head) < SNIFFED_BYTES:
            self._head += chunk[: SNIFFED_BYTES - len(self._head)]

    def finish(self) -> str:
        """A media type, at most 200 characters; `application/octet-stream` where libmagic has no answer."""
        head = bytes(self._head)
        self._head.clear()
        with contextlib.suppress(Exception):  # a parser of hostile bytes may fail in any way: then nothing is known
            return str(_magic().from_buffer(head, mime=True))[:200] or UNKNOWN
        return UNKNOWN


def library() -> str | None:
    """Which libmagic is used, and whose; None where there is none."""
    with contextlib.suppress(Exception):
        version = _magic().version()
        carried = "pylibmagic" in sys.modules
        return f"{version // 100}.{version % 100:02d}, {'carried by a wheel' if carried else 'of the system'}"
    return None


@cache
def _magic() -> Any:
    try:
        return importlib.import_module("magic")
    except ImportError:
        importlib.import_module("pylibmagic")  # makes the next import find the carried library
        return importlib.import_module("magic")
