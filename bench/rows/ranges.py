"""64 KiB at the end of a large file, again and again on one connection: what a viewer of disk images does."""

import statistics
import time
from functools import partial

from bench import client, transfer
from bench.failure import Failed
from bench.peers.base import Server, Stored
from bench.plan import RANGE
from bench.rows.base import Operation, Setting
from bench.sources import Source, prefault


def prepare(setting: Setting) -> dict[str, Operation]:
    source, times = setting.source("giant"), setting.sizes.ranges
    operations: dict[str, Operation] = {}
    for server in setting.servers():
        prefault(source.path)
        _, stored = transfer.put(server, source)
        operations[server.name] = partial(_ranges, server, stored, source, times)
    return operations


def _ranges(server: Server, stored: Stored, source: Source, times: int) -> tuple[float]:
    """The median of so many requests, in milliseconds."""
    wanted, room = source.tail(RANGE), memoryview(bytearray(RANGE + client.HEAD_ROOM))
    more = f"Range: bytes={source.size - RANGE}-{source.size - 1}\r\n"
    request, taken = server.request("GET", stored.content, more=more), []
    with client.connect(server.port) as connection:
        for _ in range(1 + times):
            started = time.perf_counter()
            connection.sendall(request)
            answer = client.receive(connection, room)
            taken.append(time.perf_counter() - started)
            if room[answer.start : answer.end] != wanted:
                raise Failed(f"{server.name} gave another range")
    return (1000 * statistics.median(taken[1:]),)  # the first one brought the bytes into the page cache
