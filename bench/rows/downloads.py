"""One whole download: into memory, and hashed there when the clock has stopped."""

from functools import partial
from mmap import mmap

from bench import transfer
from bench.peers.base import Server, Stored
from bench.plan import MIB
from bench.rows.base import Operation, Setting
from bench.sources import Source, prefault_all


def prepare(setting: Setting, which: str) -> dict[str, Operation]:
    source = setting.source(which)
    room = setting.room(source.size)
    operations: dict[str, Operation] = {}
    for server in setting.servers():
        _, stored = transfer.put(server, source)
        operations[server.name] = partial(_download, server, stored, source, room)
    return operations


def _download(server: Server, stored: Stored, source: Source, room: mmap) -> tuple[float]:
    prefault_all(server.folder)
    return (source.size / MIB / transfer.get(server, stored, source, room),)
