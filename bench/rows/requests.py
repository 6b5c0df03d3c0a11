"""The processor time of one request of the kinds that people wait for: without a socket, and of the server with one.

Without a socket is what is judged: the kernel's part, and the client's pace, are not in it.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from bench import crowd, processes, transfer
from bench.failure import Failed
from bench.peers.base import Server, environment
from bench.peers.portal import API, FORM_PATH, Portal
from bench.places import ROOT
from bench.plan import CONNECTIONS, RANGE, SMALL, WAYS
from bench.request import Request
from bench.rows.base import Operation, Setting
from bench.sources import Source

PAGE = 50
UNTIMED = 2  # of each kind


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests of one kind. So many of them are under way at once."""

    requests: list[Request]
    at_once: int = 1


def prepare(setting: Setting) -> dict[str, Operation]:
    server = setting.serve("portal")
    assert isinstance(server, Portal)
    kinds = kinds_of(setting, server)
    ways = (partial(_without_socket, server, kinds), partial(_over_socket, server, kinds))
    return dict(zip(WAYS, ways, strict=True))


def kinds_of(setting: Setting, server: Server) -> Callable[[], Iterator[Kind]]:
    """Makes requests of each kind, in the order of the rows, about files that are there from now on."""
    small, source = setting.sources.of(SMALL), setting.source("warm_up")
    for _ in range(PAGE):
        transfer.put(server, small)
    _, stored = transfer.put(server, source)
    return partial(_kinds, stored.entry, source, small.path.read_bytes(), setting.sizes.ranges)


def _kinds(entry: str, source: Source, body: bytes, times: int) -> Iterator[Kind]:
    times += UNTIMED
    last = {"Range": f"bytes={source.size - RANGE}-{source.size - 1}"}
    yield Kind([Request("GET", entry)] * times)
    yield Kind([Request("GET", f"{FORM_PATH}?limit={PAGE}")] * times)
    yield Kind([Request("GET", f"{entry}/content", last)] * times)
    names = [transfer.new_name() for _ in range(times)]
    yield Kind([Request("PUT", f"{API}/upload/{name}", {}, body) for name in names], at_once=CONNECTIONS)


def _without_socket(server: Portal, kinds: Callable[[], Iterator[Kind]]) -> tuple[float, ...]:
    return tuple(each["milliseconds"] for each in measured(server, kinds()))


def measured(server: Portal, kinds: Iterable[Kind]) -> list[dict[str, Any]]:
    """What `in_process` tells of each kind."""
    asked = {"token": server.session.token(), "kinds": [_written(kind) for kind in kinds]}
    command = [sys.executable, "-m", "bench.in_process", str(server.home)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), input=json.dumps(asked), text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise Failed(f"the portal could not be asked without a socket: {done.stderr[-2000:]}")
    told: list[dict[str, Any]] = json.loads(done.stdout)
    for each in told:
        _remove(server, each["uploaded"])
    return told


def _over_socket(server: Portal, kinds: Callable[[], Iterator[Kind]]) -> tuple[float, ...]:
    return tuple(_asked(server, kind) for kind in kinds())


def _asked(server: Portal, kind: Kind) -> float:
    """Milliseconds of the server's processor for one."""
    requests = [_head(server, request) + request.body for request in kind.requests]
    first, requests = requests[:UNTIMED], requests[UNTIMED:]
    _, answers = crowd.take_turns(server.port, first, 1)
    used = processes.cpu_seconds(server.pid)
    answers += crowd.take_turns(server.port, requests, kind.at_once)[1]
    used = processes.cpu_seconds(server.pid) - used
    if kind.requests[0].method == "PUT":
        _remove(server, [json.loads(answer)["id"] for answer in answers])
    return 1000 * used / len(requests)


def _head(server: Server, request: Request) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return server.request(request.method, request.target, length=len(request.body) or None, more=more)


def _written(kind: Kind) -> dict[str, Any]:
    """As JSON has it."""
    requests = [asdict(request) | {"body": base64.b64encode(request.body).decode()} for request in kind.requests]
    return {"requests": requests, "at_once": kind.at_once}


def _remove(server: Server, ids: Sequence[str]) -> None:
    requests = [server.request("DELETE", f"{FORM_PATH}/{each}") for each in ids]
    crowd.take_turns(server.port, requests, CONNECTIONS)
