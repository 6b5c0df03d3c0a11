"""Rate limits of a portal that serves: refused early, exact over four workers, and held while Redis is not there."""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from ..own_redis import OwnRedis
from .conftest import PASSWORD, MakePortal, Served
from .raw import FORM, Wire, bearer, head, length
from .seen import eventually, problem, rows

WORKERS = 4
LIMIT = 25
MANY = 120  # requests at once, each on a connection of its own
ATTEMPTS = 3
MOST = 400  # connections, until every worker has taken some


def rates(**said: str) -> str:
    return ",".join(f"{name}={rate}" for name, rate in said.items())


def sign_in(portal: Served, *, rightly: bool = False) -> httpx.Response:
    form = {"grant_type": "password", "username": "analyst", "password": PASSWORD if rightly else "a wrong one"}
    return httpx.post(f"{portal.url}/api/v1/auth/token", data=form, timeout=60)


@pytest.mark.parametrize(("method", "target"), [("PUT", "/api/v1/upload/a.bin"), ("POST", "/api/v1/files")])
@pytest.mark.parametrize("expect", ["", "Expect: 100-continue"], ids=["sent at once", "asked first"])
def test_an_upload_too_many_is_refused_before_its_body_and_ends_its_connection(
    make_portal: MakePortal, method: str, target: str, expect: str
) -> None:
    portal = make_portal(RATE_LIMITS=rates(upload="1/day"))
    portal.prepare(analyst="analyst")
    portal.start()
    with portal.client("analyst") as analyst, Wire(portal.port) as wire:
        assert analyst.put("/upload/first.bin", content=b"1").status_code == 201
        wire.send(head(method, target, bearer(analyst), FORM, length(1 << 30), *([expect] if expect else [])))
        answer = wire.answer()
        assert problem(answer) == (429, "rate_limited")
        assert answer.headers["connection"] == "close"
        assert 0 < int(answer.headers["retry-after"]) <= 86400
        assert wire.ended()
    assert rows(portal, "SELECT name FROM files") == [("first.bin",)]


def test_of_many_uploads_at_once_exactly_as_many_are_kept_as_are_allowed(make_portal: MakePortal) -> None:
    portal = make_portal(RATE_LIMITS=rates(upload="10/day"))
    portal.prepare(analyst="analyst")
    portal.start()
    with portal.client("analyst") as analyst, ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda number: analyst.put(f"/upload/{number}", content=b"x"), range(40)))
    assert Counter(answer.status_code for answer in answers) == {201: 10, 429: 30}
    assert rows(portal, "SELECT status, count(*) FROM files GROUP BY status") == [("ready", 10)]
    left = sorted(answer.headers["ratelimit"].split(";")[1] for answer in answers if answer.status_code == 201)
    assert left == sorted(f"r={number}" for number in range(10))


def test_every_answer_tells_what_is_left(make_portal: MakePortal) -> None:
    portal = make_portal(RATE_LIMITS=rates(upload="9/day", download="8/day", read="7/day", change="6/day"))
    portal.prepare(analyst="analyst")
    portal.start()
    with portal.client("analyst") as analyst:
        made = analyst.put("/upload/a.bin", content=secrets.token_bytes(3 << 20))
        path = f"/files/{made.json()['id']}"
        answers = [
            (made, 201, "upload", 8),
            (analyst.get(f"{path}/content"), 200, "download", 7),
            (analyst.get(f"{path}/content", headers={"Range": "bytes=0-1"}), 206, "download", 6),
            (analyst.get(path), 200, "read", 6),
            (analyst.get("/files"), 200, "read", 5),
            (analyst.head(f"{path}/content"), 200, "download", 5),
            (analyst.get(f"/files/{secrets.token_hex(16)}"), 404, "read", 4),
            (analyst.get("/files?limit=none"), 422, "read", 3),
            (analyst.patch(path, content=b"{"), 415, "change", 5),
            (analyst.delete(path, headers={"If-Match": "*"}), 204, "change", 4),
        ]
    for answer, status, route_class, left in answers:
        assert answer.status_code == status
        assert answer.headers["ratelimit"].startswith(f'"{route_class}";r={left};t=')
        assert answer.headers["ratelimit-policy"].endswith(";w=86400")


def test_a_sign_in_too_many_is_not_looked_at(make_portal: MakePortal) -> None:
    portal = make_portal(RATE_LIMITS=rates(sign_in="3/day"))
    portal.prepare(analyst="analyst")
    portal.start()
    answers = [sign_in(portal) for _ in range(6)]
    right = sign_in(portal, rightly=True)
    assert [answer.status_code for answer in answers] == [400, 400, 400, 429, 429, 429]
    assert problem(right) == (429, "rate_limited")
    assert [event["event"] for event in portal.audit()].count("auth.sign_in_failed") == 3


def four(make_portal: MakePortal, own_redis: OwnRedis) -> Served:
    """Four workers on one Redis that has counted nothing, with one account."""
    own_redis.ask("FLUSHALL")
    limits = rates(sign_in=f"{LIMIT + 1}/day", read=f"{LIMIT}/day")  # one more, to sign in
    portal = make_portal(RATE_LIMITS=limits, RATE_LIMIT_URL=own_redis.url)
    portal.prepare(analyst="analyst")
    portal.start("--workers", str(WORKERS))
    assert eventually(lambda: events(portal).count("Application startup complete.") == WORKERS, seconds=60)
    return portal


Ask = Callable[[httpx.Client], bytes]


def token_request(_: httpx.Client) -> bytes:
    return head("POST", "/api/v1/auth/token", "Content-Type: text/plain", length(0))


def signed_request(analyst: httpx.Client) -> bytes:
    return head("GET", "/api/v1/users/me", bearer(analyst))


@pytest.mark.parametrize(("ask", "allowed"), [(token_request, 415), (signed_request, 200)], ids=["sign_in", "read"])
def test_four_workers_hold_one_limit_exactly(
    make_portal: MakePortal, own_redis: OwnRedis, ask: Ask, allowed: int
) -> None:
    portal, statuses = four(make_portal, own_redis), list[int]()
    for _ in range(ATTEMPTS):
        with portal.client("analyst") as analyst, connections(portal) as wires, ThreadPoolExecutor(MANY) as threads:
            statuses = list(threads.map(partial(asked, request=ask(analyst)), wires))
        if "rate_store_away" not in events(portal):
            break
        portal = four(make_portal, own_redis)  # on a busy machine Redis answered too late: each worker counted alone
    assert Counter(statuses) == {allowed: LIMIT, 429: len(statuses) - LIMIT}, events(portal)


@contextmanager
def connections(portal: Served) -> Iterator[list[Wire]]:
    """At least `MANY` that are open, of which every worker has some."""
    with ExitStack() as stack:
        before, wires = sockets(portal), list[Wire]()
        while len(wires) < MANY or any(count <= before[worker] for worker, count in sockets(portal).items()):
            assert len(wires) < MOST, (before, sockets(portal))
            wires.append(stack.enter_context(Wire(portal.port)))
            assert asked(wires[-1], head("GET", "/healthz")) == 200
        yield wires


def sockets(portal: Served) -> dict[int, int]:
    """How many each worker holds open."""
    assert portal.process is not None
    parent = portal.process.pid
    children = [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    serving = [pid for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(serving) == WORKERS
    return {pid: sum(_is_socket(link) for link in Path(f"/proc/{pid}/fd").iterdir()) for pid in serving}


def _is_socket(link: Path) -> bool:
    try:
        return str(link.readlink()).startswith("socket:")
    except OSError:  # closed meanwhile
        return False


def asked(wire: Wire, request: bytes) -> int:
    wire.send(request)
    return wire.answer().status_code


@pytest.fixture
def counted(make_portal: MakePortal, own_redis: OwnRedis) -> Served:
    """One worker on a Redis that the test may stop."""
    portal = make_portal(RATE_LIMITS=rates(sign_in="5/day"), RATE_LIMIT_URL=own_redis.url)
    portal.prepare(analyst="analyst")
    portal.start()
    return portal


def events(portal: Served) -> list[str]:
    return [json.loads(line)["event"] for line in portal.log.splitlines() if line.startswith("{")]


def test_a_redis_that_pauses_ends_and_comes_back_is_never_felt(counted: Served, own_redis: OwnRedis) -> None:
    statuses = [sign_in(counted).status_code for _ in range(2)]
    with counted.client("analyst") as analyst:  # the third
        own_redis.pause()
        assert analyst.get("/users/me").status_code == 200
        statuses += [sign_in(counted).status_code for _ in range(4)]
        assert httpx.get(f"{counted.url}/readyz", timeout=60).status_code == 200
        own_redis.end()
        assert analyst.get("/users/me").status_code == 200
        statuses += [sign_in(counted).status_code for _ in range(2)]
        own_redis.start()
        assert eventually(lambda: analyst.get("/users/me").is_success and "rate_store_back" in events(counted))
        assert own_redis.ask("KEYS", "portal:read:*")
    assert statuses == [400, 400, 400, 400, 429, 429, 429, 429]
    assert "request_failed" not in events(counted)


def test_a_portal_whose_redis_is_paused_stops_when_told(counted: Served, own_redis: OwnRedis) -> None:
    assert sign_in(counted).status_code == 400
    own_redis.pause()
    assert sign_in(counted).status_code == 400
    assert counted.stop() == 0
