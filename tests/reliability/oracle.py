"""The other reader: what h11, which shares no line with the portal's parser, takes a client's bytes for."""

import re
from dataclasses import dataclass
from hashlib import sha256

import h11

MARKS = {b"x", b"x-a", b"x-empty", b"x-obs", b"x-t"}
# Where the portal's parser is lenient, and no body begins or ends elsewhere for it (RFC 9112 §2.2, §3):
_LINE_BREAKS = b"\r\n"  # in front of a request
_NOT_ASCII = re.compile(rb"[\x80-\xff]")  # in its target: the front door passes it on as %XX
_BLANKS = re.compile(rb"\A([A-Z]+) +([^ \r\n]+) +(?=HTTP/)")  # in its first line


@dataclass(frozen=True)
class Seen:
    """One whole request."""

    method: str
    target: str
    marks: tuple[str, ...]
    size: int
    digest: str

    @classmethod
    def of(cls, method: str, target: str, headers: list[tuple[bytes, bytes]], body: bytes) -> "Seen":
        """Of headers, those that a sequence is sprinkled with: a header of the next request would stand among them."""
        marks = sorted(f"{name.decode()}={value.decode('latin-1')}" for name, value in headers if name in MARKS)
        return cls(method, target, tuple(marks), len(body), sha256(body).hexdigest()[:16])


@dataclass(frozen=True)
class Reading:
    """Requests in order, but those that are refused unread; and whether all that counts of the bytes is whole."""

    seen: tuple[Seen, ...]
    whole: bool


def read(data: bytes, *, past_refusals: bool = False) -> Reading:
    """Up to the first that is none, is not whole, or ends the connection; as a body that is refused unread does, but
    `past_refusals`, which is how the front door reads.
    """
    seen: list[Seen] = []
    while data := data.lstrip(_LINE_BREAKS):
        one = _one(_escaped(data) if past_refusals else data)
        if one is None:
            return Reading(tuple(seen), whole=False)
        request, body, rest = one
        target = re.sub(r"^http://[^/]*", "", request.target.decode("latin-1"))
        refused = target.startswith("/refuse/")
        if not refused:
            seen.append(Seen.of(request.method.decode(), target, list(request.headers), body))
        if _closes(request) or (refused and _has_body(request) and not past_refusals):
            break
        data = rest
    return Reading(tuple(seen), whole=True)


def _escaped(data: bytes) -> bytes:
    line, end, rest = data.partition(b"\n")
    return _NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], line) + end + rest


def _one(data: bytes) -> tuple[h11.Request, bytes, bytes] | None:
    connection, body, request = h11.Connection(h11.SERVER), bytearray(), None
    connection.receive_data(_BLANKS.sub(rb"\1 \2 ", data))
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                return request, bytes(body), connection.trailing_data[0]
            else:
                return None
    except h11.RemoteProtocolError:
        return None


def _closes(request: h11.Request) -> bool:
    tokens = b",".join(value for name, value in request.headers if name == b"connection").lower().split(b",")
    return request.http_version < b"1.1" or b"close" in {token.strip() for token in tokens}


def _has_body(request: h11.Request) -> bool:
    fields = dict(request.headers)
    return b"transfer-encoding" in fields or int(fields.get(b"content-length", b"0")) > 0
