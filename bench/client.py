"""A client that costs next to nothing: it shares the cores with the server it measures.

Comes in: requests, written out. Leaves: answers. Bodies go from the file to the socket inside the kernel, and come into
a buffer that is there before the clock starts. An answer that is no success fails the run.
"""

import contextlib
import mmap
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from bench.failure import Failed

HEAD_ROOM = 1 << 16  # of a buffer, for the answer's head
_PATIENCE = struct.pack("ll", 300, 0)  # seconds without a byte: a socket's own limit, without a call to poll each time
_END = b"\r\n\r\n"
_CLOSES = b"\r\nconnection: close"
_LENGTH = b"\r\ncontent-length:"


@dataclass(frozen=True, slots=True)
class Answer:
    """`start` is where the body begins in what was received, `length` how long it is.

    `closes` says that the connection ends with it.
    """

    status: int
    start: int
    length: int
    closes: bool

    @property
    def end(self) -> int:
        return self.start + self.length


def connect(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
    return made


def buffer(size: int) -> mmap.mmap:
    """Room for one answer with a body of `size` bytes, every page of it there already."""
    return mmap.mmap(-1, size + HEAD_ROOM, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)


def send_file(connection: socket.socket, head: bytes, path: Path, tail: bytes = b"") -> None:
    """A request whose body is a file, with `tail` behind it."""
    with path.open("rb") as file, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(head)  # who is refused before the end still has an answer to read
        connection.sendfile(file)
        connection.sendall(tail)


def receive(connection: socket.socket, into: memoryview) -> Answer:
    """One whole answer, at the beginning of `into`."""
    got, answer = 0, None
    while answer is None or got < answer.end:
        try:
            more = connection.recv_into(into[got:])
        except (ConnectionResetError, BlockingIOError) as error:
            raise Failed(f"an answer broke off after {got:,} bytes ({type(error).__name__})") from None
        if not more:
            raise Failed(f"an answer broke off after {got:,} bytes")
        got += more
        answer = answer or parse(into[: min(got, HEAD_ROOM)])
    if not is_success(answer.status):
        raise Failed(f"status {answer.status}: {bytes(into[answer.start : answer.end])[:300]!r}")
    return answer


def exchange(connection: socket.socket, request: bytes) -> bytes:
    """The body of the answer to a small request."""
    connection.sendall(request)
    return short(connection)


def short(connection: socket.socket) -> bytes:
    """The body of a short answer."""
    room = bytearray(2 * HEAD_ROOM)
    answer = receive(connection, memoryview(room))
    return bytes(room[answer.start : answer.end])


def parse(got: memoryview | bytes) -> Answer | None:
    """None while the head has not ended. A body is as long as its head says: nobody here sends chunks."""
    start = bytes(got).find(_END)
    if start < 0:
        return None
    head = bytes(got[:start]).lower()
    _, found, rest = head.partition(_LENGTH)
    status = int(head[9:12])
    if not found and status != 204:
        raise Failed(f"an answer without a length: {head!r}")
    length = int(rest.split(b"\r\n", 1)[0]) if found else 0
    return Answer(status, start + len(_END), length, _CLOSES in head)


def is_success(status: int) -> bool:
    return 200 <= status < 300
