"""Counters of requests: in this process, and in a Redis that several processes share. The only door to redis-py.

Comes in: a key and its window of time. Leaves: how often it was counted there. Redis is a help and never a need: it has
half a second to answer; one that does not is left alone for some seconds, and `None` says so. Why not slowapi:
docs/adr/0009. Next: `limits`, which counts in this process first and always.
"""

import asyncio
import time
from collections import OrderedDict
from pathlib import Path

from redis.asyncio import BlockingConnectionPool, Redis

from portal.core import log, tasks
from portal.core.errors import ConfigError, Unavailable
from portal.core.secrets import Secret
from portal.core.tls import verifying_context
from portal.db.reasons import reason

ANSWER_SECONDS = 0.25
PAUSE_SECONDS = 5.0
_SOCKET_SECONDS = 1.0  # only for what is not an answer, such as closing
_KEYS = 100_000  # of one process: some 25 MiB at the most
_CONNECTIONS = 8
_log = log.get(__name__)


class RateStoreAway(Unavailable):
    code, title = "rate_store_away", "The Redis of PORTAL_RATE_LIMIT_URL does not answer."


class OwnCounters:
    """This process's. Whoever was not seen for longest is forgotten first, so that many callers cost no memory."""

    def __init__(self, keys: int = _KEYS) -> None:
        self._keys = keys
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def add(self, key: str, window: int) -> int:
        """Count once more; how often that was in this window."""
        last, count = self._counts.pop(key, (window, 0))
        count = count + 1 if last == window else 1
        self._counts[key] = window, count
        if len(self._counts) > self._keys:
            self._counts.popitem(last=False)
        return count


class SharedCounters:
    """Those of every process with the same Redis."""

    def __init__(self, url: Secret, authorities: Path | None = None) -> None:
        """Connects to nothing yet. Where `authorities` are named, no others are trusted. Raises ConfigError."""
        self._pool = _pool(url, authorities)
        self._redis = Redis(connection_pool=self._pool)
        self._away = False
        self._ask_at = 0.0

    async def add(self, key: str, seconds: int) -> int | None:
        """Count once more under a key that nobody needs after `seconds`; None while Redis is away."""
        if not self._should_try():
            return None
        try:
            count = await self._ask(key, seconds)
        except Exception as error:  # noqa: BLE001  # whatever it is, a request must not fail for want of a counter
            self._mark_down(error)
            return None
        self._mark_up()
        return count

    async def check(self) -> None:
        """Raises RateStoreAway: for the start, which is the time to find out that the URL is wrong."""
        try:
            await self._ask("check", 1)
        except Exception as error:  # noqa: BLE001  # its words may hold the URL, which may hold a password
            why = _why(error)
            raise RateStoreAway(f"PORTAL_RATE_LIMIT_URL: Redis does not answer as it should ({why}).") from None

    async def aclose(self) -> None:
        """Let go of every connection. Idempotent."""
        await self._pool.aclose()

    async def _ask(self, key: str, seconds: int) -> int:
        """Waits twice as long where nothing comes: a process that was kept from running finds timer and answer at once,
        and must not take its own sleep for the silence of Redis.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as bound:
            timer = loop.call_later(ANSWER_SECONDS, lambda: bound.reschedule(loop.time() + ANSWER_SECONDS))
            try:
                return await self._count(f"portal:{key}", seconds)
            finally:
                timer.cancel()

    async def _count(self, key: str, seconds: int) -> int:
        """In one round trip, both or neither: a count that never expires would fill the Redis."""
        async with self._redis.pipeline(transaction=True) as both:
            both.incr(key)
            both.expire(key, seconds)  # anew with each count: the key names its window, and nobody asks for it later
            count, _ = await both.execute()
        return int(count)  # of what is no Redis, anything may come

    def _should_try(self) -> bool:
        """While Redis is away one request asks now and then, and the others go on without."""
        if not self._away:
            return True
        now = time.monotonic()
        if now < self._ask_at:
            return False
        self._ask_at = now + PAUSE_SECONDS
        return True

    def _mark_down(self, error: Exception) -> None:
        self._ask_at = time.monotonic() + PAUSE_SECONDS
        if not self._away:
            self._away = True
            _log.warning("rate_store_away", error=type(error).__name__, reason=_why(error))
            tasks.spawn(self._pool.disconnect(inuse_connections=False))  # they may be as dead as this one

    def _mark_up(self) -> None:
        if self._away:
            self._away = False
            _log.info("rate_store_back")


def _why(error: Exception) -> str:
    """In the system's words where it was the system's: the library's may hold the URL."""
    below = error.__cause__ or error.__context__
    return reason(below if isinstance(below, OSError) else error)


def _pool(url: Secret, authorities: Path | None) -> BlockingConnectionPool:
    pinned = {}
    if url.reveal().startswith(b"rediss:") and authorities is not None:
        verifying_context("PORTAL_RATE_LIMIT_CA", authorities)
        pinned = {"ssl_ca_certs": str(authorities)}
    try:
        return BlockingConnectionPool.from_url(
            url.reveal().decode(),
            max_connections=_CONNECTIONS,
            timeout=_SOCKET_SECONDS,
            socket_timeout=_SOCKET_SECONDS,
            socket_connect_timeout=_SOCKET_SECONDS,
            protocol=2,  # 3 greets first, for what nobody needs here; so does a driver that tells its name
            driver_info=None,
            **pinned,
        )
    except (TypeError, ValueError):  # its words may hold the URL, which may hold a password
        raise ConfigError("PORTAL_RATE_LIMIT_URL must be a redis:, rediss: or unix: URL") from None
