"""The same file as a form and as the body: what the form costs."""

from collections.abc import Callable
from functools import partial

from bench import transfer
from bench.peers.base import Server, Stored
from bench.plan import MIB
from bench.rows.base import Operation, Setting
from bench.sources import Source, prefault

_Put = Callable[[Server, Source], tuple[float, Stored]]


def prepare(setting: Setting) -> dict[str, Operation]:
    source, server = setting.source("large"), setting.serve("portal")
    ways: dict[str, _Put] = {"portal": transfer.put_form, "raw": transfer.put}
    return {name: partial(_upload, server, source, way) for name, way in ways.items()}


def _upload(server: Server, source: Source, put: _Put) -> tuple[float]:
    prefault(source.path)
    seconds, stored = put(server, source)
    transfer.remove(server, stored)
    return (source.size / MIB / seconds,)
