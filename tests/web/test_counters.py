"""Counters: exact in one process and over several, and no harm to anybody while Redis is paused, slow, full or gone."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import structlog

from portal.core.errors import ConfigError
from portal.core.secrets import Secret
from portal.web import counters
from portal.web.counters import OwnCounters, RateStoreAway, SharedCounters

from ..own_redis import OwnRedis
from ..own_tls import Authority, fronted

PASSWORD = "hunter2-and-more"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def shared(own_redis: OwnRedis) -> AsyncIterator[SharedCounters]:
    async with contextlib.aclosing(SharedCounters(own_redis.secret)) as made:
        yield made


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is asked again with the next request."""
    monkeypatch.setattr(counters, "PAUSE_SECONDS", 0.0)


def test_a_window_counts_from_one_and_the_next_one_anew() -> None:
    own = OwnCounters()
    assert [own.add("a", 1), own.add("a", 1), own.add("b", 1), own.add("a", 2), own.add("a", 2)] == [1, 2, 1, 1, 2]


def test_of_too_many_callers_the_one_not_seen_for_longest_is_forgotten() -> None:
    own = OwnCounters(keys=3)
    for key in ("a", "b", "c", "a", "d"):
        own.add(key, 1)
    assert len(own._counts) == 3
    assert [own.add("a", 1), own.add("d", 1), own.add("b", 1)] == [3, 2, 1]


async def test_two_processes_count_as_one(own_redis: OwnRedis, shared: SharedCounters) -> None:
    async with contextlib.aclosing(SharedCounters(own_redis.secret)) as other:
        found = await asyncio.gather(*(each.add("key", 60) for each in (shared, other) for _ in range(50)))
    assert sorted(count or 0 for count in found) == list(range(1, 101))


async def test_what_is_counted_is_forgotten_after_its_window(own_redis: OwnRedis, shared: SharedCounters) -> None:
    await shared.add("key", 60)
    (key,) = own_redis.ask("KEYS", "*")
    assert 0 < own_redis.ask("TTL", key) <= 60


@pytest.mark.usefixtures("at_once")
async def test_a_paused_redis_gives_nothing_and_is_used_again_when_it_goes_on(
    own_redis: OwnRedis, shared: SharedCounters
) -> None:
    assert await shared.add("key", 60) == 1
    own_redis.pause()
    with structlog.testing.capture_logs() as logs:
        assert [await shared.add("key", 60) for _ in range(3)] == [None] * 3
        own_redis.go_on()
        assert await _back(shared)
    assert [entry["event"] for entry in logs] == ["rate_store_away", "rate_store_back"]


@pytest.mark.usefixtures("at_once")
async def test_a_redis_that_ended_is_used_again_when_it_is_back(own_redis: OwnRedis, shared: SharedCounters) -> None:
    await asyncio.gather(*(shared.add("key", 60) for _ in range(20)))  # many connections, all of which will be dead
    own_redis.end()
    assert await shared.add("key", 60) is None
    own_redis.start()
    assert await shared.add("key", 60) == 1
    assert sorted(await asyncio.gather(*(shared.add("key", 60) for _ in range(20)))) == list(range(2, 22))  # type: ignore[type-var]


async def test_a_redis_that_is_away_is_left_alone_for_a_while(own_redis: OwnRedis, shared: SharedCounters) -> None:
    own_redis.end()
    assert await shared.add("key", 60) is None
    own_redis.start()
    assert [await shared.add("key", 60) for _ in range(100)] == [None] * 100
    assert own_redis.ask("KEYS", "*") == []


async def test_while_it_is_away_one_request_asks_and_the_others_go_on(
    own_redis: OwnRedis, shared: SharedCounters
) -> None:
    own_redis.end()
    assert await shared.add("key", 60) is None
    own_redis.start()
    shared._ask_at = 0.0  # the pause is over
    found = await asyncio.gather(*(shared.add("key", 60) for _ in range(50)))
    assert found == [1] + [None] * 49


@pytest.mark.usefixtures("at_once")
async def test_a_crowd_that_meets_a_paused_redis_is_let_go_and_leaves_nothing_open(
    own_redis: OwnRedis, shared: SharedCounters
) -> None:
    own_redis.pause()
    found = await asyncio.gather(*(shared.add("key", 60) for _ in range(200)))
    assert found == [None] * 200
    own_redis.go_on()
    assert await _back(shared)
    assert len(shared._pool._available_connections) <= counters._CONNECTIONS
    assert not shared._pool._in_use_connections


@pytest.mark.usefixtures("at_once")
async def test_a_caller_that_leaves_while_redis_is_paused_takes_nothing_with_it(
    own_redis: OwnRedis, shared: SharedCounters
) -> None:
    await shared.add("key", 60)
    own_redis.pause()
    leaving = [asyncio.create_task(shared.add("key", 60)) for _ in range(counters._CONNECTIONS * 2)]
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    ends = await asyncio.gather(*leaving, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)
    own_redis.go_on()
    assert await _back(shared)


async def test_a_process_that_stood_still_does_not_blame_redis(shared: SharedCounters) -> None:
    assert await shared.add("key", 60) == 1
    counting = asyncio.create_task(shared.add("key", 60))
    await asyncio.sleep(0)
    time.sleep(counters.ANSWER_SECONDS * 2.5)  # noqa: ASYNC251  # the claim: nothing runs here, and Redis answers
    assert await counting == 2


@pytest.mark.usefixtures("at_once")
async def test_a_redis_that_is_full_is_as_good_as_away(own_redis: OwnRedis, shared: SharedCounters) -> None:
    own_redis.ask("CONFIG", "SET", "maxmemory", "1")
    assert await shared.add("key", 60) is None
    own_redis.ask("CONFIG", "SET", "maxmemory", "0")
    assert await shared.add("key", 60) == 1


async def _silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def _garbled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1 << 16):
        writer.write(b"\x00HTTP/1.1 200 \xff\r\n" * 8)


async def _rude(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _lying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1 << 16):
        writer.write(b"$5\r\nmaybe\r\n" * 8)


@pytest.mark.parametrize("serve", [_silent, _garbled, _rude, _lying])
async def test_what_answers_like_no_redis_is_as_good_as_away(tmp_path: Path, serve: Serve) -> None:
    ends: list[asyncio.StreamWriter] = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(writer)
        with contextlib.suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()

    path = tmp_path / "r.sock"
    server = await asyncio.start_unix_server(served, path)
    async with server, contextlib.aclosing(SharedCounters(Secret(f"unix://{path}".encode()))) as shared:
        assert await shared.add("key", 60) is None
        with pytest.raises(RateStoreAway):
            await shared.check()
    assert ends


async def test_a_start_is_told_what_is_wrong_and_not_the_password(own_redis: OwnRedis) -> None:
    own_redis.ask("CONFIG", "SET", "requirepass", "another")
    for url in (f"unix://:{PASSWORD}@{own_redis.socket}", f"redis://:{PASSWORD}@127.0.0.1:1/0"):
        secret = Secret(url.encode())
        async with contextlib.aclosing(SharedCounters(secret)) as shared:
            with structlog.testing.capture_logs() as logs, pytest.raises(RateStoreAway) as caught:
                await shared.check()
            assert await shared.add("key", 60) is None
        seen = f"{caught.value}{caught.value.__cause__}{logs}{shared!r}{shared.__dict__['_ask_at']}"
        assert "PORTAL_RATE_LIMIT_URL" in str(caught.value)
        assert PASSWORD not in seen


def reach(own_redis: OwnRedis) -> Callable[[], socket.socket]:
    def connect() -> socket.socket:
        end = socket.socket(socket.AF_UNIX)
        end.connect(str(own_redis.socket))
        return end

    return connect


@pytest.mark.parametrize(
    ("name", "trusted", "told"),
    [
        ("localhost", True, None),
        ("localhost", False, "its certificate is not trusted"),
        ("redis.example.org", True, "its certificate is not trusted"),
    ],
)
async def test_a_certificate_of_redis_is_the_named_authoritys_and_the_hosts(
    own_redis: OwnRedis, tmp_path: Path, name: str, *, trusted: bool, told: str | None
) -> None:
    authority = Authority(tmp_path)
    with fronted(reach(own_redis), authority.issue(name)) as port:
        url = Secret(f"rediss://localhost:{port}/0".encode())
        async with contextlib.aclosing(SharedCounters(url, authority.pem if trusted else None)) as shared:
            if told is None:
                await shared.check()
                return
            with pytest.raises(RateStoreAway, match=told):
                await shared.check()


def test_authorities_of_redis_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"PORTAL_RATE_LIMIT_CA: .*ca\.pem cannot be read"):
        SharedCounters(Secret(b"rediss://h"), tmp_path / "ca.pem")


async def test_a_start_with_a_redis_that_answers_passes(shared: SharedCounters) -> None:
    await shared.check()


@pytest.mark.parametrize("url", ["http://h", "redis://h:port", f"redis://:{PASSWORD}@h:99999999"])
def test_a_url_that_is_none_stops_the_start_in_one_line(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SharedCounters(Secret(url.encode()))
    (problem,) = caught.value.problems
    assert problem.startswith("PORTAL_RATE_LIMIT_URL")
    assert PASSWORD not in problem


async def _back(shared: SharedCounters) -> bool:
    """Redis counts again, as soon as it has woken up."""
    for _ in range(200):
        if await shared.add("back", 60) is not None:
            return True
    return False
