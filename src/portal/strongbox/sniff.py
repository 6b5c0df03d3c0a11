"""The media type that libmagic detects in a file's first bytes. It is stored, never trusted. Only here `magic` is used.

The system's libmagic is used if there is one; otherwise the copy in the `pylibmagic` wheel. Importing `pylibmagic`
beside a system library would point that library at a database of another version. So it is imported only when needed.
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
    """A detector of one file's media type. It gathers the first SNIFFED_BYTES; `finish` returns their type."""

    __slots__ = ("_head",)

    def __init__(self) -> None:
        self._head = bytearray()

    def feed(self, chunk: Buffer) -> None:
        if len(self._head) < SNIFFED_BYTES:
            self._head += chunk[: SNIFFED_BYTES - len(self._head)]

    def finish(self) -> str:
        """A media type of at most 200 characters; `application/octet-stream` if libmagic has no answer."""
        head = bytes(self._head)
        self._head.clear()
        with contextlib.suppress(Exception):  # a parser of hostile bytes may fail in any way: the type is unknown then
            return str(_magic().from_buffer(head, mime=True))[:200] or UNKNOWN
        return UNKNOWN


def library() -> str | None:
    """The version of libmagic in use and where it comes from; None if there is none."""
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
