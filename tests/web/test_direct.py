"""`DirectBody` over a pair of sockets: what the server gathered, then what the socket has, and never a byte more."""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message, Scope

from portal.web.direct import BUFFER_BYTES, DirectBody

ROOM_BYTES = 100_000
WORTH = 1 << 16
BODY = secrets.token_bytes(500_000)
GONE: Message = {"type": "http.disconnect"}


class FakeLine:
    """A connection that is read when a test says so. What is asked of it is written down."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.reading = True
        self.rest: list[bytes] = []
        self.asked = 0

    def descriptor(self) -> int:
        self.asked += 1
        return self._server.fileno()

    def pause(self) -> None:
        self.reading = False

    def resume(self) -> None:
        self.reading = True

    def body_ends(self, rest: bytes) -> None:
        self.rest.append(rest)


class Server:
    """Its own `receive`: gives what it gathered, piece by piece."""

    def __init__(self, *gathered: bytes, size: int) -> None:
        self._gathered, self._left = list(gathered), size
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        if not self._gathered:
            return GONE
        body = self._gathered.pop(0)
        self._left -= len(body)
        return {"type": "http.request", "body": body, "more_body": self._left > 0}


class Pair:
    """A client's socket, and a body that is read from the other end."""

    def __init__(self) -> None:
        self.client, self._server = socket.socketpair()
        self._server.setblocking(False)
        self.client.setblocking(False)
        self.line = FakeLine(self._server)

    def body(self, size: int, *gathered: bytes, room: int = ROOM_BYTES, **scope: Any) -> tuple[DirectBody, Server]:
        headers = scope.pop("headers", [(b"content-length", b"%d" % size)])
        made: Scope = {"type": "http", "scheme": "http", "http_version": "1.1", "headers": headers, **scope}
        server = Server(*gathered, size=size)
        body = DirectBody(self.line, made, server.receive)
        if room:
            made["extensions"][BUFFER_BYTES]["view"] = memoryview(bytearray(room))
        return body, server

    def close(self) -> None:
        self.client.close()
        self._server.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


async def whole(body: DirectBody, pair: Pair, sent: bytes, piece: int) -> bytes:
    """Take the body to its end while `sent` goes through the socket a piece at a time."""
    got, at, more = b"", 0, True
    while more:
        with contextlib.suppress(BlockingIOError):  # the socket holds enough already
            at += pair.client.send(sent[at : at + piece])
        message = await body.receive(gathered=False)
        got, more = got + bytes(message["body"]), message["more_body"]
    return got


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(size=st.integers(WORTH, 300_000), piece=st.integers(1_000, 150_000), behind=st.integers(0, 50))
async def test_every_byte_comes_once_and_not_one_of_what_is_behind(size: int, piece: int, behind: int) -> None:
    pair = Pair()
    body, server = pair.body(size)
    assert await whole(body, pair, BODY[: size + behind], piece) == BODY[:size]
    assert (server.asked, pair.line.rest, body.begun) == (0, [b""], False)
    pair.close()


async def test_what_the_server_gathered_comes_first(pair: Pair) -> None:
    body, server = pair.body(200_000, BODY[:5], BODY[5:1000])
    assert [(await body.receive(gathered=True))["body"] for _ in range(2)] == [BODY[:5], BODY[5:1000]]
    assert await whole(body, pair, BODY[1000:200_000], 70_000) == BODY[1000:200_000]
    assert server.asked == 2


OTHERWISE: dict[str, dict[str, Any]] = {
    "in chunks": {"headers": [(b"transfer-encoding", b"chunked")]},
    "over TLS": {"scheme": "https"},
    "without a length": {"headers": []},
    "without a room": {"room": 0},
}


@pytest.mark.parametrize("kind", OTHERWISE.values(), ids=OTHERWISE)
async def test_other_bodies_are_the_servers_alone(pair: Pair, kind: dict[str, Any]) -> None:
    body, server = pair.body(200_000, b"abc", BODY[:199_997], **kind)
    assert [(await body.receive(gathered=False))["body"] for _ in range(2)] == [b"abc", BODY[:199_997]]
    assert await body.receive(gathered=False) == GONE
    assert (server.asked, pair.line.asked, pair.line.rest) == (3, 0, [])


@pytest.mark.parametrize(("left", "direct"), [(WORTH - 1, False), (WORTH, True)])
async def test_little_is_not_worth_it(pair: Pair, left: int, *, direct: bool) -> None:
    body, server = pair.body(1000 + left, BODY[:1000], BODY[:left])
    await body.receive(gathered=True)
    pair.client.send(BODY[:left])
    assert bytes((await body.receive(gathered=False))["body"]) == BODY[:left]
    assert server.asked == (1 if direct else 2)


async def test_what_was_begun_is_gone_on_with_however_little_is_left(pair: Pair) -> None:
    body, server = pair.body(WORTH)
    more = []
    for piece in (BODY[: WORTH - 3], b"a", b"b", b"c"):
        pair.client.send(piece)
        more.append((await body.receive(gathered=False))["more_body"])
    assert (more, server.asked, pair.line.rest) == ([True, True, True, False], 0, [b""])


async def test_while_nothing_comes_the_connection_reads_and_while_something_is_used_it_does_not(pair: Pair) -> None:
    body, _ = pair.body(200_000)
    waiting = asyncio.ensure_future(body.receive(gathered=False))
    await asyncio.sleep(0)
    assert pair.line.reading
    body.came(BODY[:10])
    message = await waiting
    assert (bytes(message["body"]), message["more_body"], pair.line.reading) == (BODY[:10], True, False)


@pytest.mark.parametrize("came", [1, 99_999, 100_000, 100_001, 250_000])
async def test_what_the_connection_read_itself_comes_before_what_the_socket_has(pair: Pair, came: int) -> None:
    body, _ = pair.body(400_000)
    waiting = asyncio.ensure_future(body.receive(gathered=False))
    await asyncio.sleep(0)
    body.came(BODY[: came // 2])
    body.came(BODY[came // 2 : came])
    pair.client.send(BODY[came : came + 50_000])
    got = bytes((await waiting)["body"])
    while len(got) < came + 50_000:
        got += bytes((await body.receive(gathered=False))["body"])
    assert got == BODY[: came + 50_000]


async def test_what_came_behind_the_body_is_handed_back(pair: Pair) -> None:
    body, _ = pair.body(WORTH)
    waiting = asyncio.ensure_future(body.receive(gathered=False))
    await asyncio.sleep(0)
    body.came(BODY[:WORTH] + b"GET / HTTP/1.1\r\n")
    assert bytes((await waiting)["body"]) == BODY[:WORTH]
    assert pair.line.rest == [b"GET / HTTP/1.1\r\n"]


async def test_behind_its_end_the_server_is_asked_again(pair: Pair) -> None:
    body, server = pair.body(WORTH)
    pair.client.send(BODY[:WORTH])
    await body.receive(gathered=False)
    assert await body.receive(gathered=True) == GONE
    assert server.asked == 1


async def test_a_client_that_leaves_wakes_who_waits(pair: Pair) -> None:
    body, _ = pair.body(200_000)
    waiting = asyncio.ensure_future(body.receive(gathered=False))
    await asyncio.sleep(0)
    body.lost()
    assert await waiting == GONE


@pytest.mark.parametrize("begun", [False, True])
async def test_from_a_lost_connection_nothing_is_read_any_more(pair: Pair, *, begun: bool) -> None:
    """It is told once: who asks later, and waited for it, would wait for ever."""
    body, _ = pair.body(400_000)
    if begun:
        pair.client.send(BODY[:1000])
        await body.receive(gathered=False)
    asked = pair.line.asked
    body.lost()
    pair.client.send(BODY[:1000])
    assert await body.receive(gathered=False) == GONE
    assert await body.receive(gathered=False) == GONE
    assert pair.line.asked == asked


async def test_what_came_just_before_the_client_left_is_not_taken_for_the_whole(pair: Pair) -> None:
    body, _ = pair.body(200_000)
    waiting = asyncio.ensure_future(body.receive(gathered=False))
    await asyncio.sleep(0)
    body.came(BODY[:10])
    body.lost()
    assert await waiting == GONE


async def test_who_is_cancelled_while_waiting_loses_no_byte(pair: Pair) -> None:
    body, _ = pair.body(WORTH)
    waiting = asyncio.ensure_future(body.receive(gathered=False))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    body.came(BODY[:10])
    pair.client.send(BODY[10:WORTH])
    message = await body.receive(gathered=False)
    assert (bytes(message["body"]), message["more_body"]) == (BODY[:WORTH], False)
