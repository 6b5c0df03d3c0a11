"""One whole download that nothing has warmed: right after its upload, and where memory was too short to keep it."""

import os
from functools import partial
from mmap import mmap
from pathlib import Path

from bench import transfer
from bench.peers.base import Server
from bench.plan import MIB
from bench.rows import downloads
from bench.rows.base import Operation, Setting
from bench.sources import Source, prefault


def prepare_first(setting: Setting) -> dict[str, Operation]:
    source = setting.source("large")
    room = setting.room(source.size)
    return {server.name: partial(_first, server, source, room) for server in setting.servers()}


def prepare_cold(setting: Setting) -> dict[str, Operation]:
    return downloads.prepare(setting, "large", _forget_all)


def _first(server: Server, source: Source, room: mmap) -> tuple[float]:
    prefault(source.path)
    _, stored = transfer.put(server, source)
    seconds = transfer.get(server, stored, source, room)
    transfer.remove(server, stored)
    return (source.size / MIB / seconds,)


def _forget_all(folder: Path) -> None:
    """Take every file of a folder out of the page cache. What is not on the disk yet would stay: sync before."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
