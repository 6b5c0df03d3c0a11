"""`DirectWrites` over a TCP connection: each byte once and in order, and no thread for a slow client."""

import asyncio
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from starlette.types import Message

from portal.core.errors import ClientGone
from portal.web import direct_writes
from portal.web.direct_writes import WORTH, DirectWrites

PIECE = secrets.token_bytes(4 * WORTH)
ENDLESS = 1 << 40


@dataclass
class FakeLine:
    """A connection. `told` is what is left to it and what the server sends itself; `sent` is the latter alone. `left`
    are the bytes that it has to write once a client that is behind has caught up; None where it is closed.
    """

    server: socket.socket
    told: list[bytes] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    left: int | None = 0
    leaves: bool = False  # the client, in the middle of the next piece
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.caught_up.set()

    def descriptor(self) -> int:
        return self.server.fileno()

    def is_open(self) -> bool:
        return self.left is not None

    async def drained(self) -> bool:
        await self.caught_up.wait()
        return self.left == 0

    def put(self, rest: memoryview | bytes) -> None:
        self.told.append(bytes(rest))
        if self.leaves:
            self.left = None

    async def send(self, message: Message) -> None:
        self.sent.append(bytes(message["body"]))
        self.put(message["body"])


@dataclass
class Owed:
    expected_content_length: int


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's end, which never blocks, and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
    server.setblocking(False)
    with server, client:
        yield server, client


@pytest.fixture
def line(pair: tuple[socket.socket, socket.socket]) -> FakeLine:
    return FakeLine(pair[0])


def piece(body: bytes = PIECE, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def received(client: socket.socket, size: int) -> bytes:
    client.setblocking(False)
    got = bytearray()
    while len(got) < size and (more := await asyncio.get_running_loop().sock_recv(client, 1 << 20)):
        got += more
    return bytes(got)


async def test_every_byte_is_written_once_and_in_order(
    pair: tuple[socket.socket, socket.socket], line: FakeLine
) -> None:
    pieces = [secrets.token_bytes(len(PIECE)) for _ in range(8)]
    whole, owed = b"".join(pieces), Owed(8 * len(PIECE))
    writes = DirectWrites(line, owed, line.send)
    reading = asyncio.ensure_future(received(pair[1], len(whole)))
    for body in pieces:
        await writes.send(piece(body))
        line.left = len(line.told)  # a reader that was late: from here on the server writes
    left = b"".join(line.told)
    assert owed.expected_content_length == len(left) - len(line.told[0] if line.told else b"")
    pair[0].setblocking(True)
    await asyncio.to_thread(pair[0].sendall, left)
    assert await asyncio.wait_for(reading, 20) == whole


async def test_a_client_that_does_not_read_costs_no_thread_and_the_connection_gets_the_rest(
    pair: tuple[socket.socket, socket.socket], line: FakeLine
) -> None:
    whole = secrets.token_bytes(32 << 20)  # more than the kernel takes
    await DirectWrites(line, Owed(len(whole)), line.send).send(piece(whole))
    (rest,) = line.told
    assert 0 < len(rest) < len(whole)
    assert await asyncio.wait_for(received(pair[1], len(whole) - len(rest)), 20) + rest == whole


OTHERS: dict[str, tuple[Message, int]] = {
    "short": (piece(b"x" * (WORTH - 1)), ENDLESS),
    "the whole response": (piece(more=False), len(PIECE)),
    "more than was announced": (piece(), len(PIECE) - 1),
    "the end": (piece(b"", more=False), 0),
}


@pytest.mark.parametrize(("message", "owed"), OTHERS.values(), ids=OTHERS)
async def test_other_pieces_are_the_servers(line: FakeLine, message: Message, owed: int) -> None:
    counted = Owed(owed)
    await DirectWrites(line, counted, line.send).send(message)
    assert (line.told, counted.expected_content_length) == ([message["body"]], owed)


async def test_behind_bytes_that_wait_a_piece_is_the_servers(line: FakeLine) -> None:
    line.left = 1
    await DirectWrites(line, Owed(ENDLESS), line.send).send(piece())
    assert line.told == [PIECE]


async def test_where_every_thread_writes_a_piece_is_the_servers(
    line: FakeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_writes, "_threads", threading.Semaphore(0))
    await DirectWrites(line, Owed(ENDLESS), line.send).send(piece())
    assert line.told == [PIECE]


async def test_the_last_piece_is_written_when_it_has_been_sent(
    pair: tuple[socket.socket, socket.socket], line: FakeLine
) -> None:
    body = PIECE[:WORTH]
    await DirectWrites(line, Owed(len(body)), line.send).send(piece(body))
    assert await received(pair[1], len(body) - len(b"".join(line.told))) + b"".join(line.told) == body


async def test_behind_the_last_piece_the_client_is_waited_for(line: FakeLine) -> None:
    line.caught_up.clear()
    sending = asyncio.ensure_future(DirectWrites(line, Owed(0), line.send).send(piece(b"the end")))
    for _ in range(9):
        await asyncio.sleep(0)
    assert (line.told, sending.done()) == ([b"the end"], False)
    line.caught_up.set()
    await sending


@pytest.mark.parametrize("size", [7, 32 << 20], ids=["by the server", "by a thread in part"])
async def test_a_client_that_leaves_before_it_took_the_last_piece_is_gone(line: FakeLine, size: int) -> None:
    owed = Owed(size if size > WORTH else 0)  # the server counts down what it sends itself
    line.leaves = True
    with pytest.raises(ClientGone):
        await DirectWrites(line, owed, line.send).send(piece(bytes(size)))


async def test_a_client_that_left_is_gone_at_the_next_piece(line: FakeLine) -> None:
    line.left = None
    with pytest.raises(ClientGone):
        await DirectWrites(line, Owed(ENDLESS), line.send).send(piece())


async def test_one_that_leaves_when_the_kernel_has_it_all_is_not(line: FakeLine) -> None:
    line.leaves = True
    await DirectWrites(line, Owed(WORTH), line.send).send(piece(PIECE[:WORTH]))


def fails(descriptor: int, _: memoryview) -> memoryview:
    os.close(descriptor)
    direct_writes._threads.release()
    raise MemoryError


async def test_a_piece_that_was_written_in_part_breaks_the_response(
    line: FakeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows how much of it was: the next piece must not follow it."""
    monkeypatch.setattr(direct_writes, "_write", fails)
    writes = DirectWrites(line, Owed(ENDLESS), line.send)
    await writes.send(piece())
    with pytest.raises(MemoryError):
        await writes.send(piece())
    assert line.told == []


async def test_of_a_client_that_left_nothing_is_raised_and_nothing_stays(
    pair: tuple[socket.socket, socket.socket], line: FakeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_writes, "_threads", threading.Semaphore(1))  # one that is not given back is missed
    pair[1].close()
    writes, before = DirectWrites(line, Owed(ENDLESS), line.send), open_descriptors()
    for _ in range(3):
        await writes.send(piece())
    await writes.send(piece(b"", more=False))
    assert len(line.told) > 1  # the connection gets it, and detects what happened
    assert line.sent == [b""]
    assert open_descriptors() == before


async def test_a_write_whose_response_was_cancelled_gives_everything_back(line: FakeLine) -> None:
    before = open_descriptors()
    writes = DirectWrites(line, Owed(ENDLESS), line.send)
    await writes.send(piece(secrets.token_bytes(32 << 20)))
    waiting = asyncio.ensure_future(writes.send(piece()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert open_descriptors() == before
