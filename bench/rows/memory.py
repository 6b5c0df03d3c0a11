"""The memory that one upload takes: the server's peak, less what it had when it was idle."""

import time
from functools import partial

from bench import processes, transfer
from bench.peers.base import Server
from bench.plan import MIB
from bench.rows.base import Operation, Setting
from bench.sources import Source, prefault


def prepare(setting: Setting, which: str) -> dict[str, Operation]:
    source, server = setting.source(which), setting.serve("portal")
    time.sleep(setting.sizes.pause)
    idle = processes.memory(server.pid, "VmRSS")
    return {"portal": partial(_upload, server, source, idle)}


def _upload(server: Server, source: Source, idle: int) -> tuple[float]:
    prefault(source.path)
    processes.forget_peak(server.pid)
    _, stored = transfer.put(server, source)
    peak = processes.memory(server.pid, "VmHWM")
    transfer.remove(server, stored)
    return ((peak - idle) / MIB,)
