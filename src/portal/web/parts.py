"""The parts of a multipart body (RFC 2046 §5.1), one after another, as a stream. Nothing is gathered but heads.

Comes in: a boundary, and chunks of the body. Leaves: the headers of each part, then its content as views of the chunks.
Next: `multipart` knows what a form's parts mean. A body that is not exactly such parts raises InvalidInput.
"""

import ctypes
import re
from collections.abc import AsyncIterator

from portal.core.buffer import Buffer
from portal.core.errors import InvalidInput

MAX_HEADERS = 8  # of one part
MAX_HEAD_BYTES = 16 << 10  # of one part: room for the longest file name, each of its bytes as %XX
_BREAK = b"\r\n"
_BREAKS = _BREAK * 4  # at most this many line breaks are accepted before and after the parts
_memmem = ctypes.CDLL(None).memmem  # several times as fast as `find`, and without the GIL
_memmem.restype = ctypes.c_void_p
_memmem.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
_HEADER = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+):([^\r]*)")


class Parts:
    """The parts of one body. Call `next`, then `read` until it returns None, for each part."""

    def __init__(self, boundary: bytes, body: AsyncIterator[Buffer]) -> None:
        self._delimiter = _BREAK + b"--" + boundary
        self._delimiters = (self._delimiter + _BREAK, self._delimiter + b"--")  # another part follows, or none
        self._is_delimiter = re.compile(re.escape(self._delimiter) + rb"(?=\r\n|--)")
        self._body = body
        self._unread = memoryview(b"")  # what is left of the chunk at hand
        self._begun = self._inside = False

    async def next(self) -> dict[bytes, bytes] | None:
        """The headers of the next part by lower-case name; None behind the last, when the body has been read."""
        if self._inside:
            raise InvalidInput("The form's parts are not in order.")
        if not self._begun:
            await self._begin()
        end = await self._take(2)
        if end == b"--":
            await self._finish()
            return None
        if end != _BREAK:
            raise _malformed()
        self._inside = True
        return _headers(await self._head())

    async def read(self) -> memoryview | None:
        """The next bytes of the part's content, valid until the next call; None at its end."""
        while self._inside:
            size = self._content()
            if size:
                content, self._unread = self._unread[:size], self._unread[size:]
                return content
            if len(self._unread) >= len(self._delimiter) + 2:
                self._unread = self._unread[len(self._delimiter) :]
                self._inside = False
            else:
                await self._more()
        return None

    def _content(self) -> int:
        """How many bytes from here on are content: up to the next delimiter, or to what may become one."""
        if not _contains(self._unread, self._delimiter):
            return self._before_beginning()
        found = self._is_delimiter.search(self._unread)  # it decides in C however many only look like one
        return found.start() if found else self._before_beginning()

    def _before_beginning(self) -> int:
        """How many bytes stand before the beginning of a delimiter whose end has not arrived: all, if there is none."""
        start = max(0, len(self._unread) - len(self._delimiter) - 1)
        tail = bytes(self._unread[start:])
        at = tail.find(b"\r")
        while at >= 0 and not any(delimiter.startswith(tail[at:]) for delimiter in self._delimiters):
            at = tail.find(b"\r", at + 1)
        return len(self._unread) if at < 0 else start + at

    async def _begin(self) -> None:
        """Read to the end of the first boundary. RFC 2046 allows any text before it. Some clients send line breaks,
        and parsers differ in how they skip anything else.
        """
        self._begun = True
        breaks = 0
        while (start := await self._take(2)) == _BREAK and breaks < len(_BREAKS) // 2:
            breaks += 1
        if start + await self._take(len(self._delimiter) - 4) != self._delimiter[2:]:
            raise InvalidInput("The form does not begin with its boundary.")

    async def _head(self) -> bytes:
        """The header lines, each behind a line break: the boundary's own comes first."""
        while (end := (head := _BREAK + bytes(self._unread[:MAX_HEAD_BYTES])).find(_BREAK * 2)) < 0:
            if len(self._unread) >= MAX_HEAD_BYTES:
                raise _malformed()
            await self._more()
        self._unread = self._unread[end + 2 :]
        return head[:end]

    async def _finish(self) -> None:
        """Read behind the last part. RFC 2046 allows any text there. Clients send line breaks only, and no bytes are
        accepted unread.
        """
        while _BREAKS.startswith(bytes(self._unread[: len(_BREAKS) + 1])):
            if not await self._arrived():
                return
        raise InvalidInput("The form goes on behind its closing boundary.")

    async def _take(self, size: int) -> bytes:
        while len(self._unread) < size:
            await self._more()
        taken, self._unread = bytes(self._unread[:size]), self._unread[size:]
        return taken

    async def _more(self) -> None:
        if not await self._arrived():
            raise InvalidInput("The form is not closed by its boundary.")

    async def _arrived(self) -> bool:
        """Put the next chunk behind the unread bytes; False at the end of the body. Views end here."""
        held = bytes(self._unread)  # a few bytes, except that a head may be long
        chunk = await anext(self._body, None)
        if chunk is not None:
            view = memoryview(chunk)
            self._unread = memoryview(bytearray(held) + view) if held or view.readonly else view
        return chunk is not None


def _contains(view: memoryview, sought: bytes) -> bool:
    """Search a writable buffer in place."""
    if len(view) < len(sought):
        return False
    start = ctypes.addressof(ctypes.c_char.from_buffer(view))
    return _memmem(start, len(view), sought, len(sought)) is not None


def _headers(head: bytes) -> dict[bytes, bytes]:
    lines = head.split(_BREAK)[1:]
    if len(lines) > MAX_HEADERS:
        raise _malformed()
    headers: dict[bytes, bytes] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise _malformed()
        if header[1].lower() in headers:
            raise InvalidInput("A part of the form has a header twice.")
        headers[header[1].lower()] = header[2].lstrip(b" ")
    return headers


def _malformed() -> InvalidInput:
    return InvalidInput("The form is not multipart/form-data.")
