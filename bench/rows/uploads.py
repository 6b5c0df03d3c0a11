"""One raw upload: how fast, and how much of the processor the server takes for it."""

from functools import partial
from mmap import mmap
from pathlib import Path

from bench import processes, transfer
from bench.peers import seal
from bench.peers.base import Server
from bench.plan import GIB, MIB
from bench.rows.base import Operation, Setting
from bench.sources import Source, prefault


def prepare(setting: Setting, which: str) -> dict[str, Operation]:
    source = setting.source(which)
    room = setting.room(source.size)
    operations: dict[str, Operation] = {
        server.name: partial(_upload, server, source, room) for server in setting.servers()
    }
    if "seal" in setting.variants:
        operations["seal"] = partial(_seal, source, setting.folder)
    return operations


def _upload(server: Server, source: Source, room: mmap) -> tuple[float, float]:
    prefault(source.path)
    used = processes.cpu_seconds(server.pid)
    seconds, stored = transfer.put(server, source)
    used = processes.cpu_seconds(server.pid) - used
    transfer.prove(server, stored, source, room)
    transfer.remove(server, stored)
    return _values(source, seconds, used)


def _seal(source: Source, folder: Path) -> tuple[float, float]:
    prefault(source.path)
    sealed = seal.seal(source, folder)
    return _values(source, sealed.seconds, sealed.cpu_seconds)


def _values(source: Source, seconds: float, cpu_seconds: float) -> tuple[float, float]:
    """MiB a second, and CPU seconds a GiB."""
    return source.size / MIB / seconds, cpu_seconds / (source.size / GIB)
