"""Thousands of clients that leave in the middle: tasks, descriptors, connections of the pool and rows are as before.

The portal serves from a thread of this process, through uvicorn on a loopback port: no other process could count its
tasks and pooled connections.
"""

import asyncio
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvicorn
import uvloop
from fastapi import FastAPI

from portal import config
from portal.app import create_app
from portal.web.connection import HttpConnection

from ..e2e.conftest import MakePortal, Served
from ..e2e.raw import FORM, Wire, bearer, head, length, part
from ..e2e.seen import eventually
from . import invariants
from .amounts import amount
from .conftest import Figures

CLIENTS = 8
BIG = 8 << 20
SENT = secrets.token_bytes(2_500_000)  # more than two segments: they are in the store
HEADROOM = 30  # descriptors that the database's pool and SQLite may have opened meanwhile

_T = TypeVar("_T")
Departure = Callable[[Wire], None]


@dataclass(frozen=True, slots=True)
class Inside:
    """A portal that serves from a thread, and a way to look into it."""

    portal: Served
    app: FastAPI
    loop: asyncio.AbstractEventLoop

    def tasks(self) -> int:
        return self._run(self._tasks())

    def pooled(self) -> int:
        """Connections to the database that are in use."""
        return int(self.app.state.portal.resources.database.engine.pool.checkedout())

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    async def _tasks(self) -> int:
        return len(asyncio.all_tasks()) - 1  # without this one


@pytest.fixture
def inside(make_portal: MakePortal) -> Iterator[Inside]:
    portal = make_portal()
    portal.prepare(analyst="analyst")
    settings, variables = config.load(portal.environment, portal.folder / ".env")
    app = create_app(settings, variables)
    served = partial(HttpConnection, client_timeouts=settings.client_timeouts)
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, http=served, ws="none", access_log=False, log_config=None)  # type: ignore[arg-type]
    )
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve()))
    thread.start()
    assert eventually(lambda: server.started, seconds=60)
    portal.port = server.servers[0].sockets[0].getsockname()[1]
    yield Inside(portal, app, loop)
    server.should_exit = True
    thread.join(60)
    loop.close()


def test_clients_that_leave_take_nothing_with_them(inside: Inside, figures: Figures) -> None:
    portal, count = inside.portal, amount("ABORTED_TRANSFERS")
    with portal.client("analyst") as analyst:
        big = analyst.put("/upload/big.bin", content=secrets.token_bytes(BIG)).json()
        abort(portal, bearer(analyst), big["id"], 16)  # threads and pools are there now
        assert at_rest(inside)
        tasks, descriptors = inside.tasks(), own_descriptors()
        done = abort(portal, bearer(analyst), big["id"], count)
        assert eventually(lambda: inside.tasks() <= tasks, seconds=60), inside.tasks()
        assert eventually(lambda: own_descriptors() <= descriptors + HEADROOM)
        assert at_rest(inside)
        assert analyst.get(f"/files/{big['id']}/content").content[-1:]
    invariants.assert_whole(portal, invariants.held(portal), {big["id"]: big["sha256"]})
    ended = Counter(event["event"] for event in portal.audit())
    assert ended["file.download_started"] == ended["file.download_ended"]
    figures(
        aborted=done.total(),
        uploads=done["raw"] + done["form"],
        downloads=done["download"],
        tasks_left=inside.tasks() - tasks,
        pooled_connections_left=inside.pooled(),
    )


def at_rest(inside: Inside) -> bool:
    """Nothing is under way any more: every upload was given up, every outcome written."""
    tmp = inside.portal.folder / "var" / "store" / "tmp"
    return eventually(
        lambda: inside.pooled() == 0 and not any(tmp.iterdir()) and not invariants.held(inside.portal).stuck,
        seconds=60,
    )


def abort(portal: Served, token: str, big: str, count: int) -> Counter[str]:
    """So many transfers, each left in the middle by a client of its own, in one of the ways clients leave."""
    kinds = ("raw", "form", "download")
    departures: tuple[Departure, ...] = (Wire.leave, Wire.vanish)
    ways = [(kinds[n % 3], departures[n // 3 % 2]) for n in range(count)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda way: _abort(portal, token, big, *way), ways))
    return Counter(kind for kind, _ in ways)


def _abort(portal: Served, token: str, big: str, kind: str, depart: Departure) -> None:
    with Wire(portal.port, receive_buffer=1 << 14) as wire:
        if kind == "download":
            wire.send(head("GET", f"/api/v1/files/{big}/content", token))
            assert wire.gather(100)
        elif kind == "form":
            start = part("file", SENT, filename="left.bin")
            wire.send(head("POST", "/api/v1/files", token, FORM, length(len(start) + 1000)), start)
        else:
            wire.send(head("PUT", "/api/v1/upload/left.bin", token, length(len(SENT) + 1)), SENT)
        depart(wire)


def own_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
