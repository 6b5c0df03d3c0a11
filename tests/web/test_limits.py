"""Rate limits inside one process: who is counted as whom, what is told, and that nothing happens before."""

import asyncio
import contextlib
import math
import re
import uuid
from collections.abc import AsyncIterator
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from portal import config
from portal.app import FEATURES, create_app
from portal.core.errors import NotSignedIn
from portal.core.principal import Origin, Principal, Role
from portal.core.rates import DEFAULTS, Rate, RouteClass
from portal.web import counters
from portal.web.counters import SharedCounters
from portal.web.limits import Limits, LimitState, classes_of
from tests.reliability.amounts import amount

from ..conftest import NO_DOTENV
from ..own_redis import OwnRedis

KEYS = {f"PORTAL_{name}_KEY": sha256(name.encode()).hexdigest() for name in ("MASTER", "SECRET")}
ADA, BOB = (uuid.UUID(int=number) for number in (1, 2))
TOKENS = {"ada-1": ADA, "ada-2": ADA, "bob": BOB}  # ada is signed in twice
UNREAD = {"content-type": "application/octet-stream"}
NOON = 1_800_000_000.0  # on the minute


class Clock:
    now = NOON

    def __call__(self) -> float:
        return self.now


async def resolve(token: str, _: Origin) -> Principal:
    if token not in TOKENS:
        raise NotSignedIn
    return Principal(f"user:{TOKENS[token]}", Role.ANALYST, TOKENS[token], uuid.uuid4())


async def end_session(*_: object) -> None:
    """Signs out."""


def make(url: str = "", proxies: str = "", **rates: str) -> FastAPI:
    """An app without a portal behind it: whoever is let through can sign out, and no more."""
    said = ",".join(f"{name}={rate}" for name, rate in rates.items())
    given = {"PORTAL_RATE_LIMITS": said, "PORTAL_RATE_LIMIT_URL": url, "PORTAL_TRUSTED_PROXIES": proxies}
    app = create_app(*config.load(KEYS | given, NO_DOTENV))
    sessions, authenticators = SimpleNamespace(sign_out=end_session), SimpleNamespace(resolve=resolve)
    app.state.portal = SimpleNamespace(identity=SimpleNamespace(sessions=sessions, authenticators=authenticators))
    return app


class Caller:
    """Who asks `app` from an address, with a token or none."""

    def __init__(self, app: FastAPI, token: str = "", *, address: str = "192.0.2.1", **headers: str) -> None:
        self._transport = httpx.ASGITransport(app, client=(address, 4711))
        self._headers = {**({"authorization": f"Bearer {token}"} if token else {}), **headers}

    async def ask(self, method: str = "POST", path: str = "/api/v1/auth/logout", **more: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://localhost") as client:
            return await client.request(method, path, headers=self._headers | more.pop("headers", {}), **more)

    async def sign_in(self) -> httpx.Response:
        """A request that is malformed: counted, and of no cost."""
        return await self.ask(path="/api/v1/auth/token", content=b"")


def statuses(*answers: httpx.Response) -> list[int]:
    return [answer.status_code for answer in answers]


class Unread:
    """A request body that must not be asked for."""

    def __aiter__(self) -> "Unread":
        return self

    async def __anext__(self) -> bytes:
        raise AssertionError("the body was read")


CLASSES = classes_of(make().routes)
LIMITED = sorted((route_class, name) for name, route_class in CLASSES.items() if route_class)


@pytest.fixture(scope="module")
def strict() -> FastAPI:
    """Lets everybody ask once for everything."""
    return make(**dict.fromkeys(RouteClass, "1/day"))


@pytest.mark.parametrize(("number", "route_class", "name"), [(n, *limited) for n, limited in enumerate(LIMITED)])
async def test_every_limited_route_refuses_one_more_than_its_class_allows(
    strict: FastAPI, number: int, route_class: RouteClass, name: str
) -> None:
    path, method = next(
        (path, method.upper())
        for path, operations in strict.openapi()["paths"].items()
        for method, said in operations.items()
        if said["operationId"] == name
    )
    caller = Caller(strict, address=f"198.51.100.{number}")
    path = re.sub(r"\{[^}]*\}", str(ADA), path)
    first = await caller.ask(method, path)
    assert first.status_code != 429
    content = Unread() if method in {"POST", "PUT", "PATCH"} else None
    second = await caller.ask(method, path, content=content, headers=UNREAD)
    assert second.status_code == 429
    if method != "HEAD":
        assert second.json()["code"] == "rate_limited"
    for answer, left in ((first, 0), (second, 0)):
        assert answer.headers["ratelimit-policy"] == f'"{route_class}";q=1;w=86400'
        assert answer.headers["ratelimit"].startswith(f'"{route_class}";r={left};t=')
    assert 0 < int(second.headers["retry-after"]) <= 86400
    assert "retry-after" not in first.headers


@pytest.mark.parametrize(
    ("method", "path", "route_class"),
    [
        ("PUT", "/upload/a.bin", RouteClass.UPLOAD),
        ("POST", "/files", RouteClass.UPLOAD),
        ("PATCH", f"/files/{ADA}", RouteClass.CHANGE),
    ],
)
async def test_a_caller_who_is_known_is_refused_before_the_body_too(
    method: str, path: str, route_class: RouteClass
) -> None:
    app = make(**{route_class: "1/day"})
    await app.state.limits.count(route_class, f"user:{ADA}")
    answer = await Caller(app, "ada-2").ask(method, f"/api/v1{path}", content=Unread(), headers=UNREAD)
    assert answer.status_code == 429


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json", "/docs", "/docs/favicon.png"])
async def test_what_orchestrators_and_readers_ask_for_is_never_limited(path: str) -> None:
    caller = Caller(make(**dict.fromkeys(RouteClass, "1/day")))
    answers = [await caller.ask("GET", path) for _ in range(5)]
    assert statuses(*answers) == [200] * 5
    assert "ratelimit" not in answers[0].headers


def test_a_route_without_a_class_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    router = APIRouter()

    @router.get("/forgotten")
    async def forgotten() -> None: ...

    monkeypatch.setattr("portal.app.FEATURES", (*FEATURES, router))
    with pytest.raises(RuntimeError, match="routes without a rate: forgotten"):
        make()


async def test_what_is_left_counts_down_and_begins_anew_with_the_next_window() -> None:
    clock = Clock()
    limits = Limits({**DEFAULTS, RouteClass.READ: Rate(2, "minute")}, clock=clock)
    seen = []
    for passed in (0.0, 0.5, 59.5, 60.0, 60.0):
        clock.now = NOON + passed
        standing = await limits.count(RouteClass.READ, "ada")
        assert standing is not None
        seen.append((standing.exceeded, standing.headers()["RateLimit"]))
    assert seen == [
        (False, '"read";r=1;t=60'),
        (False, '"read";r=0;t=60'),
        (True, '"read";r=0;t=1'),
        (False, '"read";r=1;t=60'),
        (False, '"read";r=0;t=60'),
    ]


async def test_classes_and_callers_are_counted_apart() -> None:
    limits = Limits({**DEFAULTS, **dict.fromkeys(RouteClass, Rate(1, "day"))})
    standings = [await limits.count(kind, who) for kind in RouteClass for who in ("ada", "bob")]
    assert [standing.exceeded for standing in standings if standing] == [False] * 2 * len(RouteClass)


async def test_a_class_that_is_off_is_not_counted_and_says_nothing() -> None:
    caller = Caller(make(change="off"), "ada-1")
    answers = [await caller.ask() for _ in range(3)]
    assert statuses(*answers) == [204] * 3
    assert "ratelimit" not in answers[0].headers


async def test_a_user_is_one_caller_however_often_signed_in_and_wherever() -> None:
    app = make(change="2/day")
    callers = Caller(app, "ada-1"), Caller(app, "ada-2", address="198.51.100.7"), Caller(app, "ada-1")
    assert statuses(*[await caller.ask() for caller in callers]) == [204, 204, 429]
    assert statuses(await Caller(app, "bob").ask()) == [204]


async def test_guessed_tokens_are_one_caller_and_not_one_each() -> None:
    app = make(change="2/day")
    guesses = [await Caller(app, f"guess-{number}").ask() for number in range(4)]
    assert statuses(*guesses) == [401, 401, 429, 429]


async def test_who_guesses_does_not_lock_out_whoever_signed_in_at_the_same_address() -> None:
    app = make(change="1/day")
    assert statuses(*[await Caller(app, "guess").ask() for _ in range(3)]) == [401, 429, 429]
    assert statuses(await Caller(app, "ada-1").ask()) == [204]


async def test_sign_ins_are_counted_by_address_whatever_token_is_shown() -> None:
    app = make(sign_in="2/day")
    answers = [await Caller(app, token).sign_in() for token in ("", "ada-1", "bob", "guess")]
    assert statuses(*answers) == [415, 415, 429, 429]
    assert statuses(await Caller(app, address="192.0.2.2").sign_in()) == [415]


@pytest.mark.parametrize("forged", ["203.0.113.9", "203.0.113.9, 198.51.100.1", "::1", "unknown", ""])
async def test_an_address_is_not_changed_by_saying_another(forged: str) -> None:
    app = make(sign_in="1/day")
    said = {"x-forwarded-for": forged, "x-real-ip": forged, "forwarded": f"for={forged}"}
    assert statuses(await Caller(app).sign_in(), await Caller(app, **said).sign_in()) == [415, 429]


async def test_behind_a_proxy_of_ours_its_clients_are_counted() -> None:
    app = make(sign_in="1/day", proxies="192.0.2.1")
    answers = [await Caller(app, **{"x-forwarded-for": a}).sign_in() for a in ("203.0.113.1", "203.0.113.2")]
    forged = await Caller(app, **{"x-forwarded-for": "198.51.100.1, 203.0.113.1"}).sign_in()
    assert statuses(*answers, forged) == [415, 415, 429]


@pytest.mark.parametrize(
    ("one", "other", "status"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", 429),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", 415),
        ("::ffff:192.0.2.1", "192.0.2.1", 429),
        ("192.0.2.1", "192.0.2.2", 415),
        ("", "", 429),
    ],
    ids=["one customer", "two customers", "IPv4 in IPv6", "two addresses", "nowhere"],
)
async def test_an_address_is_what_one_customer_has(one: str, other: str, status: int) -> None:
    app = make(sign_in="1/day")
    answers = [await Caller(app, address=address).sign_in() for address in (one, other)]
    assert statuses(*answers) == [415, status]


@pytest.mark.parametrize("path", ["/api/v1/auth/token?x=1", "/api/v1/auth%2Ftoken", "/api/v1/auth/%74oken"])
async def test_another_spelling_of_a_path_is_not_another_limit(path: str) -> None:
    app = make(sign_in="1/day")
    assert statuses(await Caller(app).sign_in()) == [415]
    assert statuses(await Caller(app).ask(path=path, content=b"")) == [429]


def test_the_document_tells_of_the_limits_where_there_are_any() -> None:
    names = {name for _, name in LIMITED}
    seen = set()
    document = make().openapi()
    shared = document["components"]["responses"]
    for operations in document["paths"].values():
        for said in operations.values():
            limited = said["operationId"] in names
            seen.add(limited)
            assert ("429" in said["responses"]) is limited
            if limited:
                refusal = shared[said["responses"]["429"]["$ref"].rpartition("/")[2]]
                assert set(refusal["headers"]) >= {"Retry-After", "RateLimit", "RateLimit-Policy"}
    assert seen == {True, False}


def test_every_route_shows_the_limit_of_its_own_class() -> None:
    document = make().openapi()
    for operations in document["paths"].values():
        for said in operations.values():
            if refused := said["responses"].get("429"):
                answer = document["components"]["responses"][refused["$ref"].rpartition("/")[2]]
                reference = answer["headers"]["RateLimit"]
                shown = document["components"]["headers"][reference["$ref"].rpartition("/")[2]]["example"]
                assert shown.startswith(f'"{CLASSES[said["operationId"]]}";')


async def test_a_page_of_another_origin_may_read_the_headers() -> None:
    origin = "https://desk.example.org"
    given = {"PORTAL_CORS_ORIGINS": origin, "PORTAL_RATE_LIMITS": "sign_in=1/day"}
    app = create_app(*config.load(KEYS | given, NO_DOTENV))
    caller = Caller(app, origin=origin)
    for answer in (await caller.sign_in(), await caller.sign_in()):
        exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
        assert {"ratelimit", "ratelimit-policy", "retry-after"} <= exposed
        assert answer.headers["access-control-allow-origin"] == origin


def test_what_stands_in_the_headers_is_what_the_draft_asks_for() -> None:
    standing = LimitState(RouteClass.UPLOAD, Rate(1200, "minute"), 1300, math.ceil(12.1))
    assert standing.headers() == {"RateLimit-Policy": '"upload";q=1200;w=60', "RateLimit": '"upload";r=0;t=13'}


@contextlib.asynccontextmanager
async def counting(app: FastAPI) -> AsyncIterator[FastAPI]:
    """The lifespan's part in it."""
    async with contextlib.aclosing(app.state.limits):
        yield app


@pytest.mark.race
async def test_two_apps_on_one_redis_hold_one_limit_exactly_in_every_race(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "ANSWER_SECONDS", 60)  # without Redis each would count alone, as it should
    apps = [make(own_redis.url, sign_in="3/day") for _ in range(2)]
    async with counting(apps[0]), counting(apps[1]):
        for number in range(amount("RACES")):
            callers = [Caller(app, address=f"198.51.100.{number}") for app in apps for _ in range(4)]
            answers = await asyncio.gather(*(caller.sign_in() for caller in callers))
            assert sorted(statuses(*answers)) == [415] * 3 + [429] * 5


async def test_a_key_names_nobodys_token(own_redis: OwnRedis) -> None:
    async with counting(make(own_redis.url)) as app:
        await Caller(app, "ada-1").ask()
        await Caller(app, "guess").ask()
        await Caller(app, "ada-1", address="2001:db8::1").sign_in()
    keys = {re.sub(r":\d+:", ":", key, count=1) for key in own_redis.ask("KEYS", "*")}
    assert keys == {
        f"portal:change:user:{ADA}",
        "portal:change:address:192.0.2.1",
        "portal:sign_in:address:2001:db8::/64",
    }


async def test_while_redis_is_paused_others_are_served_and_the_limit_holds(own_redis: OwnRedis) -> None:
    async with counting(make(own_redis.url, sign_in="3/day")) as app:
        caller = Caller(app)
        assert statuses(await caller.sign_in(), await caller.sign_in()) == [415, 415]
        own_redis.pause()
        waiting = asyncio.create_task(caller.sign_in())
        healthy = [await caller.ask("GET", "/healthz") for _ in range(10)]
        assert not waiting.done()  # the loop went on while it waits
        assert statuses(*healthy) == [200] * 10
        assert statuses(await waiting, await caller.sign_in(), await caller.sign_in()) == [415, 429, 429]
        own_redis.go_on()


async def test_a_redis_that_is_gone_slows_nobody_down_and_opens_nothing(own_redis: OwnRedis) -> None:
    async with counting(make(own_redis.url, change="30/day")) as app:
        own_redis.end()
        answers = await asyncio.gather(*(Caller(app, "ada-1").ask() for _ in range(100)))
    assert sorted(statuses(*answers)) == [204] * 30 + [429] * 70


async def test_a_redis_that_was_emptied_gives_nobody_a_second_helping(own_redis: OwnRedis) -> None:
    async with counting(make(own_redis.url, change="3/day")) as app:
        caller = Caller(app, "ada-1")
        assert statuses(*[await caller.ask() for _ in range(3)]) == [204] * 3
        own_redis.ask("FLUSHALL")
        assert statuses(await caller.ask()) == [429]


async def test_redis_counts_again_when_it_is_back(own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "PAUSE_SECONDS", 0.0)
    app, other = (make(own_redis.url, change="3/day") for _ in range(2))
    async with counting(app), counting(other):
        own_redis.end()
        assert statuses(await Caller(app, "ada-1").ask()) == [204]
        own_redis.start()
        assert statuses(*[await Caller(app, "ada-1").ask() for _ in range(2)]) == [204, 204]
        assert statuses(*[await Caller(other, "ada-1").ask() for _ in range(2)]) == [204, 429]


async def test_whom_this_process_refuses_redis_is_not_asked_about(own_redis: OwnRedis) -> None:
    async with contextlib.aclosing(SharedCounters(own_redis.secret)) as shared:
        limits = Limits({**DEFAULTS, RouteClass.READ: Rate(2, "day")}, shared)
        for _ in range(50):
            await limits.count(RouteClass.READ, "ada")
    (key,) = own_redis.ask("KEYS", "*")
    assert own_redis.ask("GET", key) == "2"
