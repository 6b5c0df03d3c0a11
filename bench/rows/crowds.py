"""Many at once: large uploads beside each other, and small ones one behind the other on many connections."""

from functools import partial

from bench import crowd, transfer
from bench.peers.base import Server
from bench.plan import CONNECTIONS, MIB, SMALL, STREAMS
from bench.rows.base import Operation, Setting
from bench.sources import Source, prefault


def prepare_parallel(setting: Setting) -> dict[str, Operation]:
    """The same server, with as many workers as cores, takes many streams, and one."""
    server = setting.serve("portal", setting.sizes.workers)
    return {
        "portal": partial(_parallel, server, setting.source("parallel"), STREAMS),
        "one stream": partial(_parallel, server, setting.source("huge"), 1),
    }


def prepare_small(setting: Setting) -> dict[str, Operation]:
    source, requests = setting.sources.of(SMALL), setting.sizes.small_requests
    return {server.name: partial(_small, server, source, requests, setting) for server in setting.servers()}


def _parallel(server: Server, source: Source, streams: int) -> tuple[float]:
    prefault(source.path)
    seconds, stored = crowd.at_once(server, source, streams)
    for one in stored:
        transfer.remove(server, one)
    return (streams * source.size / MIB / seconds,)


def _small(server: Server, source: Source, times: int, setting: Setting) -> tuple[float]:
    """Requests a second."""
    names = [transfer.new_name() for _ in range(times)]
    body = source.path.read_bytes()
    uploads = [server.request("PUT", server.upload_path(name), length=source.size) + body for name in names]
    seconds, answers = crowd.take_turns(server.port, uploads, CONNECTIONS)
    told = zip(names, answers, strict=True)
    stored = [transfer.checked(server.stored(name, answer), source.sha256) for name, answer in told]
    transfer.prove(server, stored[-1], source, setting.room(source.size))
    crowd.take_turns(server.port, [server.request("DELETE", one.entry) for one in stored], CONNECTIONS)
    return (times / seconds,)
