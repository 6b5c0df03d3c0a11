"""HTTP/1.1 requests out of bytes: httptools, held to one reading of where a message ends.

Comes in: bytes in any pieces. Leaves: uvicorn's callbacks; or a PortalError for bytes that are no request, after which
nothing more may be fed. An offer to change the protocol is ignored (RFC 9110 §7.8): httptools would take the request
for one without a body and stop behind its head, so a second parser reads on from there. Next: `connection`.
"""

from typing import Protocol

import httptools

from portal.core.errors import InvalidInput, PortalError
from portal.web.framing import HeadTooLarge, TargetTooLong, VersionNotSupported, body_length

MAX_OVERHEAD_BYTES = 128 << 10  # that bring neither a message nor a byte of a body: `middleware` allows far less
_MAX_TARGET_BYTES = (1 << 16) - 1  # what httptools takes apart
_VERSIONS = {"1.1", "1.0"}


class Events(Protocol):
    """What is called as a request comes in, in this order."""

    def on_message_begin(self) -> None: ...
    def on_url(self, url: bytes) -> None: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


class RequestParser:
    """Has the methods of httptools' own that uvicorn calls. It is what httptools calls, too."""

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
        """Raises InvalidInput, HeadTooLarge, VersionNotSupported, and what a callback raises of PortalErrors."""
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
        """Fields behind the last chunk are no headers: nobody judged them when the request was let in."""
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
        if not self._parser.should_upgrade():  # or it is httptools that ends it, in front of its body
            self._progress += 1
            self._events.on_message_complete()

    def _new(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # Requests behind one that ends the connection are read, as uvicorn has it, and never answered.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:  # its argument: how much of `data` the head was
                data = data[offer.args[0] :]
                self._read_on()

    def _read_on(self) -> None:
        """A parser that stands where the head has ended, and knows the same of the body. It hears of no offer."""
        framing = b"Transfer-Encoding: chunked" if self._length is None else b"Content-Length: %d" % self._length
        self._parser, self._repeating = self._new(), True
        try:
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
        finally:
            self._repeating = False


def _told(error: httptools.HttpParserError) -> PortalError:
    """What a callback said, or that it is no request."""
    cause = error.__context__
    return cause if isinstance(cause, PortalError) else InvalidInput("These bytes are not an HTTP request.")
