"""The HTTP/1.1 request parser: httptools, with a single interpretation of where a message ends.

Comes in: bytes in pieces of any size. Leaves: calls of uvicorn's callbacks; or a PortalError for bytes that are no
request, after which no more bytes may be fed. An Upgrade header is ignored (RFC 9110 §7.8): httptools would treat the
request as one without a body and stop behind its head, so a second parser goes on from there. Next: `connection`.
"""

from typing import Protocol

import httptools

from portal.core.errors import InvalidInput, PortalError
from portal.web.framing import HeadTooLarge, TargetTooLong, VersionNotSupported, body_length

MAX_OVERHEAD_BYTES = 128 << 10  # in a row without progress (a head, a body byte); `middleware` allows far less
_MAX_TARGET_BYTES = (1 << 16) - 1  # the longest target that httptools can split
_VERSIONS = {"1.1", "1.0"}


class Events(Protocol):
    """The callbacks for one request, called in this order."""

    def on_message_begin(self) -> None: ...
    def on_url(self, url: bytes) -> None: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


class RequestParser:
    """Has the methods of `httptools.HttpRequestParser` that uvicorn calls, and is the callback object of httptools."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._fields: list[tuple[bytes, bytes]] = []
        self._length: int | None = 0
        self._target_bytes = 0
        self._in_head = False
        self._repeating = False
        self._progress = 0
        self._overhead = 0
        self._parser = self._new()

    def feed_data(self, data: bytes) -> None:
        """Parse the next bytes; calls the callbacks.

        Raises InvalidInput, HeadTooLarge, TargetTooLong, VersionNotSupported, and any PortalError of a callback.
        """
        before = self._progress
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            raise _told(error) from None
        self._overhead = 0 if self._progress != before else self._overhead + len(data)
        if self._overhead > MAX_OVERHEAD_BYTES:
            raise HeadTooLarge if self._in_head else InvalidInput("What stands around the body has no end.")

    def get_http_version(self) -> str:
        return str(self._parser.get_http_version())

    def get_method(self) -> bytes:
        return bytes(self._parser.get_method())

    def should_keep_alive(self) -> bool:
        return bool(self._parser.should_keep_alive())

    def should_upgrade(self) -> bool:
        """Never."""
        return False

    def on_message_begin(self) -> None:
        if not self._repeating:
            self._progress += 1
            self._in_head, self._fields, self._target_bytes = True, [], 0
            self._events.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._repeating:
            return
        self._target_bytes += len(url)
        if self._target_bytes > _MAX_TARGET_BYTES:
            raise TargetTooLong
        self._events.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Pass on a header field. A trailer field, behind the last chunk, is dropped: the checks come before it."""
        if self._in_head:
            self._fields.append((name.lower(), value))
            self._events.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._repeating:
            return
        self._progress += 1
        self._in_head = False
        version = self.get_http_version()
        if version not in _VERSIONS:
            raise VersionNotSupported
        self._length = body_length(self._fields, version)
        self._events.on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._progress += 1
        self._events.on_body(body)

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():  # with an Upgrade header, httptools calls this before the body
            self._progress += 1
            self._events.on_message_complete()

    def _new(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # Requests behind one with `Connection: close` are parsed, as uvicorn expects, and never answered.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:  # its argument is the length of the head in `data`
                data = data[offer.args[0] :]
                self._read_on()

    def _read_on(self) -> None:
        """Replace the parser by one that is behind the head and expects the same body, but saw no Upgrade header."""
        framing = b"Transfer-Encoding: chunked" if self._length is None else b"Content-Length: %d" % self._length
        self._parser, self._repeating = self._new(), True
        try:
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
        finally:
            self._repeating = False


def _told(error: httptools.HttpParserError) -> PortalError:
    """The PortalError that a callback raised; InvalidInput for httptools' own errors."""
    cause = error.__context__
    return cause if isinstance(cause, PortalError) else InvalidInput("These bytes are not an HTTP request.")
