"""The memory that one upload or download takes: the server's peak, less what it had when it was idle."""

import time
from functools import partial
from mmap import mmap

from bench import processes, transfer
from bench.peers.base import Server, Stored
from bench.plan import MIB
from bench.rows.base import Operation, Setting
from bench.sources import Source, prefault


def prepare(setting: Setting, which: str) -> dict[str, Operation]:
    source, server = setting.source(which), setting.serve("portal")
    return {"portal": partial(_upload, server, source, _idle(setting, server))}


def prepare_download(setting: Setting, which: str) -> dict[str, Operation]:
    source, server = setting.source(which), setting.serve("portal")
    room = setting.room(source.size)
    idle = _idle(setting, server)
    _, stored = transfer.put(server, source)
    return {"portal": partial(_download, server, stored, source, room, idle)}


def _upload(server: Server, source: Source, idle: int) -> tuple[float]:
    prefault(source.path)
    processes.forget_peak(server.pid)
    _, stored = transfer.put(server, source)
    peak = processes.memory(server.pid, "VmHWM")
    transfer.remove(server, stored)
    return ((peak - idle) / MIB,)


def _download(server: Server, stored: Stored, source: Source, room: mmap, idle: int) -> tuple[float]:
    processes.forget_peak(server.pid)
    transfer.get(server, stored, source, room)
    return ((processes.memory(server.pid, "VmHWM") - idle) / MIB,)


def _idle(setting: Setting, server: Server) -> int:
    time.sleep(setting.sizes.pause)
    return processes.memory(server.pid, "VmRSS")
