"""Many slow connections beside normal traffic: that goes on, they are cut off, and everything comes back.

Two fifths drip a head, two fifths the body of an upload, and the rest ask for a file and never read it. How the normal
traffic's slowest requests compare with and without them is printed, not judged: a test does not time. Beside it stands
the same ratio between the two times without them: what the machine makes of nothing at all.
"""

import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

import httpx

from ..e2e.conftest import MakePortal, Served
from ..e2e.raw import bearer, head, length
from ..e2e.seen import descriptors, eventually, memory
from . import invariants
from .amounts import amount
from .conftest import Figures

SECONDS = "10" if amount("SLOW_CONNECTIONS") <= 100 else "20"  # to open many takes longer
PATIENCE = {"HEADER_TIMEOUT_SECONDS": SECONDS, "STALL_SECONDS": SECONDS, "MIN_BYTES_PER_SECOND": "1024"}
PLACES = {"MAX_TRANSFERS": "10000", "MAX_TRANSFERS_PER_CALLER": "10000"}  # what is slow, not what is many
BIG = 16 << 20  # more than the kernel takes for a reader that does not read
CLIENTS, ROUNDS = 4, 4 if amount("SLOW_CONNECTIONS") <= 100 else 15
DRIP_SECONDS = 0.3
MEMORY_ALLOWED = 64 << 20  # that may stay once they are gone
HEADROOM = 30  # descriptors: the database's pool of ten may have grown meanwhile, by three a connection


def test_slow_connections_hold_up_nobody_and_come_to_an_end(make_portal: MakePortal, figures: Figures) -> None:
    portal, count = make_portal(**PATIENCE, **PLACES), amount("SLOW_CONNECTIONS")
    portal.prepare(analyst="analyst")
    portal.start()
    with portal.client("analyst") as analyst, ExitStack() as kept_open:
        big = analyst.put("/upload/big.bin", content=secrets.token_bytes(BIG)).json()["id"]
        traffic(portal)  # pools and threads are there now
        descriptors_before, memory_before = descriptors(portal), memory(portal)
        alone = traffic(portal)
        drips = slow_connections(portal, kept_open, bearer(analyst), big, count)
        assert eventually(lambda: descriptors(portal) >= descriptors_before + count)
        with dripping(drips):
            traffic(portal)  # what opening them cost is over
            beside = traffic(portal)
            at_worst = memory(portal) - memory_before
            assert eventually(lambda: descriptors(portal) <= descriptors_before + HEADROOM, seconds=60)
        after = traffic(portal)
        assert eventually(lambda: memory(portal) <= memory_before + MEMORY_ALLOWED, seconds=90)
        grown = memory(portal) - memory_before
    assert portal.stop() == 0
    holdings = invariants.held(portal)
    assert (holdings.problems, holdings.stuck, holdings.stored ^ holdings.named) == ([], [], set())
    figures(
        slow_connections=count,
        normal_requests=len(beside),
        errors=0,
        slowest_ratio=round(slowest(beside) / slowest(alone + after), 2),
        slowest_ratio_without_them=round(slowest(after) / slowest(alone), 2),
        MiB_at_worst=at_worst >> 20,
        MiB_after=grown >> 20,
    )


def slow_connections(portal: Served, kept_open: ExitStack, token: str, big: str, count: int) -> list[socket.socket]:
    """Opens them all; those that drip are returned."""
    heads, bodies = count * 2 // 5, count * 2 // 5
    upload = head("PUT", "/api/v1/upload/slow.bin", token, length(1 << 20)) + b"x"
    download = head("GET", f"/api/v1/files/{big}/content", token)
    drips = [connected(portal, kept_open, b"GET /heal") for _ in range(heads)]
    drips += [connected(portal, kept_open, upload) for _ in range(bodies)]
    for _ in range(count - heads - bodies):
        connected(portal, kept_open, download, receive_buffer=1 << 14)
    return drips


def connected(
    portal: Served, kept_open: ExitStack, beginning: bytes, *, receive_buffer: int | None = None
) -> socket.socket:
    slow = kept_open.enter_context(socket.socket())
    if receive_buffer is not None:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    slow.connect(("127.0.0.1", portal.port))
    slow.sendall(beginning)
    return slow


@contextmanager
def dripping(drips: list[socket.socket]) -> Iterator[None]:
    """A byte each, again and again, until the block ends or the portal has closed them."""
    over = threading.Event()

    def drip() -> None:
        while not over.wait(DRIP_SECONDS):
            for slow in drips:
                with contextlib.suppress(OSError):
                    slow.send(b"x", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def traffic(portal: Served) -> list[float]:
    """Normal use by several clients: what each request took, in seconds. Every answer is the right one."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return [took for used in pool.map(use, [portal] * CLIENTS) for took in used]


def use(portal: Served) -> list[float]:
    content = secrets.token_bytes(64 << 10)
    took: list[float] = []
    with portal.client("analyst") as client:
        for _ in range(ROUNDS):
            created = timed(took, client.put, "/upload/normal.bin", content=content)
            assert created.status_code == 201, created.text
            path = f"/files/{created.json()['id']}"
            assert timed(took, client.get, f"{path}/content").content == content
            assert timed(took, client.get, "/files", params={"limit": 10}).status_code == 200
            assert timed(took, client.delete, path, headers={"If-Match": "*"}).status_code == 204
    return took


def timed(took: list[float], request: Callable[..., httpx.Response], *what: Any, **more: Any) -> httpx.Response:
    began = time.perf_counter()
    answer = request(*what, **more)
    took.append(time.perf_counter() - began)
    return answer


def slowest(took: list[float]) -> float:
    """The middle of the slowest tenth. A hundredth of so few requests would be one of them, whatever held it up."""
    return median(sorted(took)[-max(1, len(took) // 10) :])
