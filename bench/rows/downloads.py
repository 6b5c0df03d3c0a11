"""One whole download: into memory, and hashed there when the clock has stopped. `before` decides what is cached.

Comes in: what to do with the folder of a server before each download. Next: `cold` has another one.
"""

from collections.abc import Callable
from functools import partial
from mmap import mmap
from pathlib import Path

from bench import transfer
from bench.peers.base import Server, Stored
from bench.plan import MIB
from bench.rows.base import Operation, Setting
from bench.sources import Source, prefault_all


def prepare(setting: Setting, which: str, before: Callable[[Path], None] = prefault_all) -> dict[str, Operation]:
    source = setting.source(which)
    room = setting.room(source.size)
    operations: dict[str, Operation] = {}
    for server in setting.servers():
        _, stored = transfer.put(server, source)
        operations[server.name] = partial(_download, server, stored, source, room, before)
    return operations


def _download(
    server: Server, stored: Stored, source: Source, room: mmap, before: Callable[[Path], None]
) -> tuple[float]:
    before(server.folder)
    return (source.size / MIB / transfer.get(server, stored, source, room),)
