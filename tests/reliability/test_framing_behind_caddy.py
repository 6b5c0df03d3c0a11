"""Where a message ends, behind the front door: what Caddy passes on is what the client sent, to the portal and to h11.

Eight clients at a time share the connections between Caddy and the portal: what one of them could leave on such a
connection would be another's request, or another's answer.
"""

import asyncio
import contextlib
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import uvloop

from ..e2e.conftest import Served
from ..e2e.front.conftest import FrontDoor, opened
from ..e2e.raw import head
from .amounts import amount
from .conftest import Figures
from .listening import Recorder, kept_quiet, listening
from .oracle import read
from .sequences import HOST, Requests, Sent
from .test_framing import BOUND_SECONDS, answers, named, pairs

CLIENTS = 8


@contextlib.contextmanager
def serving(recorder: Recorder) -> Iterator[int]:
    """Its port, while an event loop of its own serves it."""
    ports: list[int] = []
    ready, over = threading.Event(), asyncio.Event()
    loop = uvloop.new_event_loop()

    async def run() -> None:
        async with listening(recorder) as address:
            ports.append(address[1])
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(BOUND_SECONDS)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def front(tmp_path: Path, recorder: Recorder) -> Iterator[FrontDoor]:
    """It gives half a request a second, so that one that never ends does."""
    waits = {"READ_HEADER": "1s", "READ_IDLE": "1s"}
    with (
        kept_quiet() as bugs,
        serving(recorder) as port,
        opened(Served(tmp_path, {}, port=port), tmp_path / "caddy", **waits) as door,
    ):
        yield door
    assert bugs == []


def said(front: FrontDoor, tls: ssl.SSLContext, pieces: list[bytes]) -> bytes:
    came = b""
    with socket.create_connection(("127.0.0.1", front.port), BOUND_SECONDS) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with tls.wrap_socket(plain, server_hostname=HOST) as client, contextlib.suppress(OSError):
            for piece in pieces:
                client.sendall(piece)
            while piece := client.recv(1 << 16):
                came += piece
    return came


def is_in_order(some: Sequence[Any], every: Sequence[Any]) -> bool:
    """Whether they are some of them: others are refused on the way, by the one or the other."""
    rest = iter(every)
    return all(one in rest for one in some)


def flaw(sent: Sent, mark: str, recorder: Recorder, came: bytes) -> str | None:
    """What is wrong with what became of it."""
    theirs = read(sent.data, past_refusals=True).seen  # Caddy reads on by itself
    seen = [one for one in recorder.seen if one.target.split("/")[2:3] == [mark]]
    if not is_in_order(seen, theirs):
        return f"the portal read {seen}, h11 {theirs}"
    told = named(answers(came))
    if not is_in_order(told, pairs(theirs)):
        return f"answered were {told}, read {theirs}"
    if sent.sound and theirs and theirs[0].target.endswith("/first") and not seen:
        return "a sound request was not passed on"
    return None


def test_what_passes_the_front_door_is_what_was_sent(front: FrontDoor, recorder: Recorder, figures: Figures) -> None:
    seed, count = secrets.randbits(32), amount("FRAMED_SEQUENCES_BEHIND_CADDY")
    tls = front.tls()

    def run(number: int) -> str | None:
        mark, requests = secrets.token_hex(8), Requests(seed + number, large=False)
        made = requests.sequence(mark)
        first, last = (
            head("GET", f"/read/{mark}/first", host=HOST),
            head("GET", f"/read/{mark}/last", "Connection: close", host=HOST),
        )
        sent = Sent(first + made.data + last, made.sound)
        came = said(front, tls, list(requests.cuts(sent.data)))
        wrong = flaw(sent, mark, recorder, came)
        return wrong and f"seed {seed}, number {number}: {wrong}\n{sent.data!r}"

    with ThreadPoolExecutor(CLIENTS) as clients:
        found = [wrong for wrong in clients.map(run, range(count)) if wrong]
    assert not found, "\n\n".join(found)
    figures(sequences=count, requests=len(recorder.seen), disagreements=0)
