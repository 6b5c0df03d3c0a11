"""HTTP/1.1 as bytes on a loopback socket: for requests that no client library sends, and answers that it would hide."""

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterable
from typing import Self

import httpx

BOUNDARY = "aBoundaryOfOurOwn"
FORM = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
_PATIENCE_SECONDS = 20


class Wire:
    """One connection, inside TLS where a context and the server's `name` are given.

    A small `receive_buffer` (bytes) makes a reader that the portal has to wait for.
    """

    def __init__(
        self, port: int, *, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None, name: str = ""
    ) -> None:
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(_PATIENCE_SECONDS)
        self._held = b""
        try:
            self._socket.connect(("127.0.0.1", port))
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket, server_hostname=name)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    @property
    def port(self) -> int:
        """Ours."""
        return int(self._socket.getsockname()[1])

    def send(self, *pieces: bytes) -> None:
        self._socket.sendall(b"".join(pieces))

    def send_each(self, pieces: Iterable[bytes]) -> None:
        """Send one after another, none of them held longer than its turn."""
        for piece in pieces:
            self._socket.sendall(piece)

    def say_no_more(self) -> None:
        """Close our half: the portal sees the end, and could still answer."""
        self._socket.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        self._socket.close()

    def vanish(self) -> None:
        """Leave with a reset, as a crashed client does."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def answer(self, *, to: str = "") -> httpx.Response:
        """The next answer, interim ones included; `extensions["head"]` has its head as it came.

        A body that ends early is given as far as it came.
        """
        while b"\r\n\r\n" not in self._held and self._more():
            pass
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        code = int(status.split(b" ")[1])
        length = 0 if to == "HEAD" or code < 200 else int(dict(headers).get(b"content-length", b"0"))
        while len(self._held) < length and self._more():
            pass
        body, self._held = self._held[:length], self._held[length:]
        return httpx.Response(code, headers=headers, content=body, extensions={"head": head})

    def read(self, size: int) -> bytes:
        """Whatever comes next, up to `size` bytes; none where the portal closed the connection, or reset it."""
        if not self._held:
            with contextlib.suppress(ConnectionResetError):
                return self._socket.recv(size)
            return b""
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def gather(self, size: int) -> bool:
        """Take `size` bytes more off the wire, to be given later; False where fewer came."""
        wanted = len(self._held) + size
        while len(self._held) < wanted and self._more():
            pass
        return len(self._held) >= wanted

    def rest(self) -> bytes:
        """Everything that still comes before the portal closes the connection, or breaks it."""
        while self._more():
            pass
        taken, self._held = self._held, b""
        return taken

    def ended(self) -> bool:
        """Whether the portal closes the connection without another byte."""
        return not self._held and not self._more()

    def _more(self) -> bool:
        with contextlib.suppress(ConnectionResetError):
            piece = self._socket.recv(1 << 20)
            self._held += piece
            return bool(piece)
        return False


def head(method: str, target: str, *headers: str, host: str | None = "127.0.0.1", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", *([] if host is None else [f"Host: {host}"]), *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def bearer(client: httpx.Client) -> str:
    return f"Authorization: {client.headers['authorization']}"


def length(size: int) -> str:
    return f"Content-Length: {size}"


def chunk(data: bytes) -> bytes:
    """`data` as a chunk of a chunked body; of no data, its end."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def part(name: str, value: bytes, *, filename: str | None = None) -> bytes:
    """One part of a form, to be followed by others or by `form_end()`. Quotes are escaped, backslashes are not."""
    named = "" if filename is None else f'; filename="{_quoted(filename)}"'
    start = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{_quoted(name)}"{named}\r\n\r\n'
    return start.encode("utf-8", "surrogateescape") + value + b"\r\n"


def form_end() -> bytes:
    return f"--{BOUNDARY}--\r\n".encode()


def _quoted(text: str) -> str:
    return text.replace('"', '\\"')
