"""HTTP/1.1 as it may come: sequences of requests, sound or broken in one place, and ways to cut them into packets.

Comes in: a source of randomness. Leaves: bytes, and whether every request in them is sound. Bodies are full of requests
of their own, which nobody must ever take for one.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

HOST = "localhost"
LARGE = 70_000  # bytes of a body that goes past the parser
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OFFERS = (
    ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"],
    ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"],
    ["Connection: keep-alive, upgrade", "Upgrade: foo/2, bar"],
    ["Upgrade: TLS/1.3", "Connection: upgrade"],
    ["Upgrade: h2c"],
    ["Connection: upgrade"],
)
OTHERS = (
    "X-A: b",
    "X-Empty:",
    "x-obs: \xe9",
    "Accept: */*",
    "Expect: 100-continue",
    "Connection: keep-alive",
    "TE: trailers",
)
FRAMINGS = (
    ["Content-Length: 3", "Content-Length: 4"],
    ["Content-Length: 3", "Content-Length: 3"],
    ["Content-Length: 3, 3"],
    ["Content-Length: +3"],
    ["Content-Length: -1"],
    ["Content-Length: 0x3"],
    ["Content-Length: 1_0"],
    ["Content-Length: 3 "],
    ["Content-Length: 003"],
    ["Content-Length:"],
    ["Content-Length: 18446744073709551619"],
    ["Content-Length : 3"],
    ["Content-Length: 3", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked", "Content-Length: 3"],
    ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked, chunked"],
    ["Transfer-Encoding: gzip, chunked"],
    ["Transfer-Encoding: chunked, identity"],
    ["Transfer-Encoding: identity"],
    ["Transfer-Encoding: xchunked"],
    ["Transfer-Encoding: \x0bchunked"],
    ["Transfer-Encoding:", "Content-Length: 3"],
    ["Transfer-Encoding : chunked"],
    ["Transfer-Encoding: CHUNKED"],
    ["Transfer-Encoding: chunked;q=1"],
    ["X: a", " Content-Length: 3"],
    ["X: a\rContent-Length: 3"],
    ["X: a\nContent-Length: 3"],
    ["X: a\0"],
    [" Content-Length: 3"],
    ["nonsense"],
    [": x"],
)
LINES = (
    "{method} {target} HTTP/2.0",
    "{method} {target} HTTP/1.0",
    "{method} {target} HTTP/0.9",
    "{method} {target} HTTP/1.2",
    "{method} {target} HTTP/9.9",
    "{method} {target} http/1.1",
    "{method} {target}",
    "{method}  {target} HTTP/1.1",
    "{method}\t{target} HTTP/1.1",
    " {method} {target} HTTP/1.1",
    "{method} {target} x HTTP/1.1",
    "{method} {target} HTTP/1.1 ",
    "CONNECT a.example:443 HTTP/1.1",
    "CONNECT {target} HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "{method} http://localhost{target} HTTP/1.1",
    "PRI * HTTP/2.0",
    "get {target} HTTP/1.1",
    "FOO {target} HTTP/1.1",
)
SIZES = (
    "0x3",
    "+3",
    "-3",
    "3 ",
    " 3",
    "3_0",
    "",
    "g",
    "3;",
    '3;a="b\r\n"',
    "3\t",
    "00000000000000000003",
    "fffffffffffffffff",
)
BETWEEN = (b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\0", b"x", b"abc\r\n", b"0\r\n\r\n", b"\r\nX: y\r\n\r\n")


@dataclass(frozen=True)
class Sent:
    """What one client sends on one connection."""

    data: bytes
    sound: bool


@dataclass
class _Request:
    line: str
    fields: list[str]
    body: bytes

    def unframe(self) -> None:
        self.fields = [field for field in self.fields if "ontent-" not in field and "ransfer-" not in field]

    def raw(self) -> bytes:
        return "\r\n".join([self.line, *self.fields, "", ""]).encode("latin-1") + self.body


class Requests:
    """Makes sequences. `mark` is in every target, so that a request is known again wherever it turns up."""

    def __init__(self, seed: int, *, large: bool = True) -> None:
        self._random = random.Random(seed)  # noqa: S311  # inputs, no secrets
        self._large = large
        self._number = 0

    def sequence(self, mark: str) -> Sent:
        requests = [self._request(mark) for _ in range(self._random.choice((1, 1, 2, 2, 3, 4)))]
        sound = self._random.random() < 0.4
        if not sound:
            self._break(requests, mark)
        data = b"".join(self._between(requests, sound=sound))
        if not sound and self._random.random() < 0.3:
            data = self._touched(data)
        return Sent(data, sound)

    def cuts(self, data: bytes) -> Iterator[bytes]:
        """The same bytes, in pieces."""
        how, size = self._random.random(), len(data)
        if how < 0.15:
            places = []
        elif how < 0.6 or size > 4_000:
            places = [self._place(data) for _ in range(1 if how < 0.6 else 5)]
        elif how < 0.7 and size < 700:
            places = list(range(1, size))
        else:
            places = [self._random.randrange(size + 1) for _ in range(self._random.randrange(2, 8))]
        ends = sorted({0, size, *places})
        return (data[start:end] for start, end in pairwise(ends))

    def _place(self, data: bytes) -> int:
        """Anywhere; or next to where something ends."""
        if self._random.random() < 0.5:
            return self._random.randrange(len(data) + 1)
        breaks = [at for at in range(min(len(data), 4_000)) if data.startswith(b"\r\n", at)] or [0]
        return max(0, min(len(data), self._random.choice(breaks) + self._random.randrange(-1, 5)))

    def _request(self, mark: str) -> _Request:
        self._number += 1
        way = self._random.choice(("read", "read", "room", "room", "refuse"))
        target = f"/{way}/{mark}/{self._number}"
        fields = [f"Host: {HOST}", *self._random.sample(OTHERS, self._random.randrange(3))]
        if self._random.random() < 0.4:
            fields += self._random.choice(OFFERS)
        if self._random.random() < 0.05:
            fields.append("Connection: close")
        framing, body = self._framed(self._content(mark))
        fields += framing
        self._random.shuffle(fields)
        return _Request(f"{self._random.choice(METHODS)} {target} HTTP/1.1", fields, body)

    def _content(self, mark: str) -> bytes:
        hidden = f"GET /smuggled/{mark} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        kind = self._random.random()
        if kind < 0.2:
            return b""
        if kind < 0.3:
            return self._random.randbytes(self._random.randrange(1, 300))
        if kind < 0.4 and self._large:
            return (hidden * 2_000)[: self._random.randrange(LARGE, 2 * LARGE)]
        return self._random.choice((b"", b"\r\n", b"0\r\n\r\n", b"x")) + hidden * self._random.randrange(1, 4)

    def _framed(self, content: bytes) -> tuple[list[str], bytes]:
        if not content and self._random.random() < 0.5:
            return [], b""
        if self._random.random() < 0.5:
            return [f"Content-Length: {len(content)}"], content
        pieces, at = [], 0
        while at < len(content):
            size = self._random.choice((1, 5, 16, 200, 40_000))
            pieces.append(self._chunk(content[at : at + size]))
            at += size
        end = b"0" + self._extension() + b"\r\n" + self._random.choice((b"", b"X-T: y\r\n"))
        return [self._random.choice(("Transfer-Encoding: chunked", "transfer-encoding:chunked"))], b"".join(
            [*pieces, end, b"\r\n"]
        )

    def _chunk(self, data: bytes) -> bytes:
        size = self._random.choice((b"%x", b"%X", b"0%x")) % len(data)
        return size + self._extension() + b"\r\n" + data + b"\r\n"

    def _extension(self) -> bytes:
        return self._random.choice((b"", b"", b"", b";a", b";a=b", b';a="b c"'))

    def _between(self, requests: list[_Request], *, sound: bool) -> Iterator[bytes]:
        for request in requests:
            yield request.raw()
            if self._random.random() < 0.1:
                yield b"\r\n" if sound else self._random.choice(BETWEEN)

    def _break(self, requests: list[_Request], mark: str) -> None:
        request = self._random.choice(requests)
        ways: list[Callable[[_Request, str], None]] = [
            self._reframe,
            self._reline,
            self._resize,
            self._rechunk,
            self._cut,
        ]
        self._random.choice(ways)(request, mark)

    def _reframe(self, request: _Request, _: str) -> None:
        lines = self._random.choice(FRAMINGS)
        if self._random.random() < 0.7:
            request.unframe()
        at = self._random.randrange(len(request.fields) + 1)
        request.fields[at:at] = lines
        if self._random.random() < 0.5:
            request.body = self._random.choice((b"abc", b"3\r\nabc\r\n0\r\n\r\n"))

    def _reline(self, request: _Request, _: str) -> None:
        method, target, _version = request.line.split(" ")
        request.line = self._random.choice(LINES).format(method=method, target=target)

    def _resize(self, request: _Request, mark: str) -> None:
        """Announced is more, or less, than what comes."""
        content = self._content(mark)
        request.unframe()
        request.fields.append(f"Content-Length: {max(0, len(content) + self._random.choice((-60, -3, -1, 1, 2, 70)))}")
        request.body = content

    def _rechunk(self, request: _Request, mark: str) -> None:
        request.unframe()
        request.fields.append("Transfer-Encoding: chunked")
        size = self._random.choice(SIZES).encode()
        ends = self._random.choice((b"\r\n", b"\n", b"", b"\r", b"X\r\n"))
        hidden = f"GET /smuggled/{mark} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        request.body = self._random.choice(
            (
                size + b"\r\nabc\r\n0\r\n\r\n",
                b"3" + ends + b"abc\r\n0\r\n\r\n",
                b"3\r\nabc" + ends + b"0\r\n\r\n",
                b"3\r\nabc\r\n0" + ends + b"\r\n",
                b"3\r\nabc\r\n0\r\n" + hidden,
                b"3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n",
                b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n\r\n",
                b"3\r\nabc\r\n" + hidden,
                b"3;" + ends + b"x\r\nabc\r\n0\r\n\r\n",
            )
        )

    def _cut(self, request: _Request, _: str) -> None:
        request.body = request.body[: self._random.randrange(len(request.body) + 1)]

    def _touched(self, data: bytes) -> bytes:
        """One byte in it is gone, new, or another."""
        at = min(self._random.randrange(len(data)), self._random.randrange(2_000))
        byte = self._random.choice((b"\r", b"\n", b" ", b"\t", b":", b"0", b"\0", b"x", b";", b",", b"\xff"))
        way = self._random.random()
        return data[:at] + (b"" if way < 0.3 else byte) + data[at + (0 if 0.3 <= way < 0.6 else 1) :]
