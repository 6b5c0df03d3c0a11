"""Many requests at once, from one process.

Comes in: requests, written out. Leaves: how long all of them took, and their answers. Small ones take turns on kept
connections in one tight loop; large ones have a thread each, which only waits in the kernel.
"""

import selectors
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from bench import client, transfer
from bench.failure import Failed
from bench.peers.base import Server, Stored
from bench.sources import Source

_ROOM = 1 << 16
_PATIENCE_SECONDS = 60


class _Kept:
    """One connection with one request under way, the `number`th. It is opened anew where the server ended it."""

    __slots__ = ("connection", "got", "number", "port", "selector")

    def __init__(self, port: int, selector: selectors.BaseSelector) -> None:
        self.port, self.selector = port, selector
        self.got, self.number = b"", -1
        self._open()

    def send(self, number: int, request: bytes) -> None:
        self.number, self.got = number, b""
        if self.connection.send(request) != len(request):
            raise Failed("a small request did not fit into an empty socket")

    def receive(self) -> bytes | None:
        """The answer's body once it is whole."""
        more = self.connection.recv(_ROOM)
        if not more:
            raise Failed("a kept connection was closed")
        self.got += more
        answer = client.parse(self.got)
        if answer is None or len(self.got) < answer.end:
            return None
        if not client.is_success(answer.status):
            raise Failed(f"status {answer.status}: {self.got[answer.start :][:300]!r}")
        if answer.closes:
            self.close()
            self._open()
        return self.got[answer.start : answer.end]

    def close(self) -> None:
        self.selector.unregister(self.connection)
        self.connection.close()

    def _open(self) -> None:
        self.connection = client.connect(self.port)
        self.connection.setblocking(False)
        self.selector.register(self.connection, selectors.EVENT_READ, self)


def take_turns(port: int, requests: Sequence[bytes], connections: int) -> tuple[float, list[bytes]]:
    """Seconds, and the bodies of the answers, in the order of the requests."""
    bodies, numbers = [b""] * len(requests), iter(range(len(requests)))
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        kept = [stack.enter_context(closing(_Kept(port, selector))) for _ in range(connections)]
        started = time.perf_counter()
        for one, number in zip(kept, numbers, strict=False):
            one.send(number, requests[number])
        _serve(selector, requests, numbers, bodies)
        return time.perf_counter() - started, bodies


def _serve(
    selector: selectors.BaseSelector, requests: Sequence[bytes], numbers: Iterator[int], bodies: list[bytes]
) -> None:
    left = len(requests)
    while left:
        ready = selector.select(_PATIENCE_SECONDS)
        if not ready:
            raise Failed(f"no answer within {_PATIENCE_SECONDS} seconds")
        for key, _ in ready:
            one: _Kept = key.data
            if (body := one.receive()) is None:
                continue
            bodies[one.number] = body
            left -= 1
            if (number := next(numbers, None)) is not None:
                one.send(number, requests[number])


def at_once(server: Server, source: Source, streams: int) -> tuple[float, list[Stored]]:
    """Seconds from the first byte sent to the last answer, and what was uploaded."""
    with ThreadPoolExecutor(streams) as threads:
        started = time.perf_counter()
        tasks = [threads.submit(transfer.put, server, source) for _ in range(streams)]
        stored = [task.result()[1] for task in tasks]
        return time.perf_counter() - started, stored
