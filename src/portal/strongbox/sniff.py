"""The media type detected in a file's bytes. It is stored, never trusted. Only here `magic` is used.

The system's libmagic is used if there is one; otherwise the copy in the `pylibmagic` wheel. Importing `pylibmagic`
beside a system library would point that library at a database of another version. So it is imported only when needed.
Its database is searched where the first bytes promise an answer (adr/0022); kinds that it does not know are in
`signatures`.
"""

import contextlib
import importlib
import sys
from functools import cache
from typing import Any

from portal.core.buffer import Buffer
from portal.strongbox import signatures

UNKNOWN = "application/octet-stream"
SNIFFED_BYTES = 8192  # that libmagic sees
TEXT_BYTES = 2048  # that its database is searched for in a text: patterns of texts are looked for at every place
LINES = 256  # that libmagic sees: some patterns are looked for in each, and 8 KiB may be that many lines
_TEXT = "text/plain"
_HELD_BYTES = signatures.ISO_OFFSET + 5
_NO_CHECK_SOFT = 0x4000  # of libmagic: only its own code looks (tar, CSV, JSON, OLE, encodings of text), no database


class Sniffer:
    """A detector of one file's media type. It holds the first 33 KiB and the last 512 bytes; `finish` returns it."""

    __slots__ = ("_footer", "_head")

    def __init__(self) -> None:
        self._head = bytearray()
        self._footer = b""

    def feed(self, chunk: Buffer) -> None:
        if len(self._head) < _HELD_BYTES:
            self._head += chunk[: _HELD_BYTES - len(self._head)]
        self._footer = (self._footer + chunk[-signatures.FOOTER_BYTES :])[-signatures.FOOTER_BYTES :]

    def finish(self) -> str:
        """A media type of at most 200 characters; `application/octet-stream` if nothing is known."""
        head, footer = bytes(self._head), self._footer
        self._head.clear()
        return _named(head) or _detected(head[:SNIFFED_BYTES]) or _disk_image(head, footer) or UNKNOWN


def library() -> str | None:
    """The version of libmagic in use and where it comes from; None if there is none."""
    with contextlib.suppress(Exception):
        version = _magic().version()
        carried = "pylibmagic" in sys.modules
        return f"{version // 100}.{version % 100:02d}, {'carried by a wheel' if carried else 'of the system'}"
    return None


def _named(head: bytes) -> str | None:
    """The kind that libmagic does not name."""
    if head.startswith(signatures.ZIP_MARK):
        return signatures.AFF4 if head.startswith(signatures.AFF4_FIRST, 30) else None
    return next((named for mark, named in signatures.NAMED.items() if head.startswith(mark)), None)


def _disk_image(head: bytes, footer: bytes) -> str | None:
    """Disk images that are told by other bytes than their first ones, which may be anything that boots."""
    if head.startswith(signatures.ISO_MARKS, signatures.ISO_OFFSET):
        return signatures.ISO
    return signatures.VHD if footer.startswith(signatures.VHD_MARK) else None


def _detected(head: bytes) -> str | None:
    """The type that libmagic tells; None if it has no answer."""
    if head.startswith(signatures.SIGNED) or any(head.startswith(mark, at) for at, mark in signatures.SIGNED_LATER):
        return _asked(head, database=True)
    quick = _asked(head, database=False)
    return _asked(head[:TEXT_BYTES], database=True) or quick if quick == _TEXT else quick


def _asked(head: bytes, *, database: bool) -> str | None:
    with contextlib.suppress(Exception):  # a parser of hostile bytes may fail in any way: the type is unknown then
        told = str(_detector(database=database).from_buffer(_first_lines(head)))[:200]
        return None if told == UNKNOWN else told
    return None


def _first_lines(head: bytes) -> bytes:
    return b"\n".join(head.split(b"\n", LINES)[:LINES])


@cache
def _detector(*, database: bool) -> Any:
    magic = _magic()
    detector = magic.Magic(mime=True)
    if not database:
        magic.magic_setflags(detector.cookie, detector.flags | _NO_CHECK_SOFT)
    return detector


@cache
def _magic() -> Any:
    try:
        return importlib.import_module("magic")
    except ImportError:
        importlib.import_module("pylibmagic")  # makes the next import find the carried library
        return importlib.import_module("magic")
