"""Where a message ends: the portal against h11, over requests that are sound or broken, in any packets.

What the portal takes for a request is one to h11 too, with the same body, and in the same order; where it takes fewer,
it has ended the connection. Nothing is smuggled: the requests inside bodies are never anybody's.
"""

import asyncio
import contextlib
import re
import secrets
import socket
from collections.abc import Iterable

import pytest
import uvloop

from .amounts import amount
from .conftest import Figures
from .listening import Recorder, kept_quiet, listening
from .oracle import Seen, read
from .sequences import Requests, Sent

BOUND_SECONDS = 60
_ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n")
_NAMES = (re.compile(rb"(?i)x-target: ([^\r]*)"), re.compile(rb"(?i)x-digest: ([^\r]*)"))


async def said(address: tuple[str, int], pieces: Iterable[bytes]) -> bytes:
    """What the portal says until it ends the connection. Each piece is a packet, and the last is followed by an end."""
    loop = asyncio.get_running_loop()
    with socket.create_connection(address) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        reading = asyncio.ensure_future(_all(client))
        with contextlib.suppress(OSError):  # it has ended the connection
            for piece in pieces:
                await loop.sock_sendall(client, piece)
                await asyncio.sleep(0)
            client.shutdown(socket.SHUT_WR)
        return await reading


async def _all(client: socket.socket) -> bytes:
    loop, came = asyncio.get_running_loop(), b""
    with contextlib.suppress(ConnectionError):
        while piece := await loop.sock_recv(client, 1 << 16):
            came += piece
    return came


def answers(came: bytes) -> list[tuple[int, bytes]]:
    """Status and head of each final one."""
    return [(int(status), head) for status, head in _ANSWER.findall(came) if status != b"100"]


def named(heads: list[tuple[int, bytes]]) -> list[tuple[str, str]]:
    """Target and digest of each request that was answered as read."""
    found = ([name.search(head) for name in _NAMES] for status, head in heads if status == 200)
    return [(target[1].decode("latin-1"), digest[1].decode()) for target, digest in found if target and digest]


def pairs(seen: Iterable[Seen]) -> list[tuple[str, str]]:
    return [(one.target, one.digest) for one in seen]


def flaw(sequence: Sent, seen: list[Seen], came: bytes) -> str | None:
    """What is wrong with what the portal made of it."""
    theirs, heads, sound = read(sequence.data), answers(came), sequence.sound
    if seen != list(theirs.seen[: len(seen)]):
        return f"the portal read {seen}, h11 {theirs.seen}"
    if named(heads) != pairs(seen)[: len(named(heads))]:
        return f"answered were {named(heads)}, read {pairs(seen)}"
    if sound and (len(seen), len(named(heads))) != (len(theirs.seen), len(theirs.seen)):
        return f"sound, but of {len(theirs.seen)} requests {len(seen)} were read and {len(named(heads))} answered"
    if sound and not theirs.whole:
        return "the generator made something that h11 does not take"
    if len(seen) < len(theirs.seen) and heads and b"connection: close" not in heads[-1][1].lower():
        return f"{len(seen)} of {len(theirs.seen)} were read, and the end was not told"
    return None


def test_the_portal_and_another_parser_agree_where_every_message_ends(figures: Figures) -> None:
    seed, count = secrets.randbits(32), amount("FRAMED_SEQUENCES")
    counted = dict.fromkeys(("requests", "sound", "ended"), 0)

    async def run() -> None:
        requests = Requests(seed)
        for number in range(count):
            sequence = requests.sequence(str(number))
            pieces = list(requests.cuts(sequence.data))
            recorder = Recorder()
            async with listening(recorder) as address, asyncio.timeout(BOUND_SECONDS):
                came = await said(address, pieces)
            wrong = flaw(sequence, recorder.seen, came)
            if wrong is not None:
                sizes = [len(piece) for piece in pieces]
                pytest.fail(f"seed {seed}, number {number}, cut {sizes}: {wrong}\n{sequence.data[:5000]!r}\n{came!r}")
            counted["requests"] += len(recorder.seen)
            counted["sound"] += sequence.sound
            counted["ended"] += len(recorder.seen) < len(read(sequence.data).seen)

    with kept_quiet() as bugs:
        uvloop.run(run())
    assert bugs == []
    figures(sequences=count, **counted, disagreements=0)
