"""Counters of requests: in this process, and in a Redis that several processes share. Only this module imports
redis-py.

Comes in: a key and its time window. Leaves: the count of the key in that window. No request depends on Redis: it has
half a second to answer. If it does not, the result is None, and Redis is not asked again for 5 seconds. Why not
slowapi: docs/adr/0009. Next: `limits`, which always counts in this process first.
"""

import asyncio
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from portal.core import log, tasks
from portal.core.errors import ConfigError, Unavailable
from portal.core.secrets import Secret
from portal.core.tls import verifying_context
from portal.db.reasons import reason

if TYPE_CHECKING:  # imported where a URL was given: it costs every other portal a tenth of its start
    from redis.asyncio import Redis

ANSWER_SECONDS = 0.25
PAUSE_SECONDS = 5.0
_SOCKET_SECONDS = 1.0  # for other socket operations, such as closing
_KEYS = 100_000  # per process: at most about 25 MiB
_CONNECTIONS = 8
_log = log.get(__name__)


class RateStoreAway(Unavailable):
    code, title = "rate_store_away", "The Redis of PORTAL_RATE_LIMIT_URL does not answer."


class OwnCounters:
    """The counters of this process. The key that was counted least recently is dropped first: memory stays bounded."""

    def __init__(self, keys: int = _KEYS) -> None:
        self._keys = keys
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def add(self, key: str, window: int) -> int:
        """Add one to `key`; returns its count in this window. `window` is the number of the time window."""
        last, count = self._counts.pop(key, (window, 0))
        count = count + 1 if last == window else 1
        self._counts[key] = window, count
        if len(self._counts) > self._keys:
            self._counts.popitem(last=False)
        return count


class SharedCounters:
    """The counters that every process with the same Redis shares."""

    def __init__(self, url: Secret, authorities: Path | None = None) -> None:
        """Does not connect yet. `authorities`, if given, is a PEM file that replaces the system's certificate
        authorities. Raises ConfigError.
        """
        self._redis = _connected_later(url, authorities)
        self._pool = self._redis.connection_pool
        self._away = False
        self._ask_at = 0.0

    async def add(self, key: str, seconds: int) -> int | None:
        """Add one to `key`; returns its count. The key expires after `seconds`. None while Redis is unavailable."""
        if not self._should_try():
            return None
        try:
            count = await self._ask(key, seconds)
        except Exception as error:  # noqa: BLE001  # no error of Redis may fail a request
            self._mark_down(error)
            return None
        self._mark_up()
        return count

    async def check(self) -> None:
        """Raises RateStoreAway unless Redis answers. Called at the start, where a wrong URL should be noticed."""
        try:
            await self._ask("check", 1)
        except Exception as error:  # noqa: BLE001  # its text may contain the URL with a password
            why = _why(error)
            raise RateStoreAway(f"PORTAL_RATE_LIMIT_URL: Redis does not answer as it should ({why}).") from None

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        await self._pool.aclose()

    async def _ask(self, key: str, seconds: int) -> int:
        """The count of `key`, within two periods of `ANSWER_SECONDS`.

        A process that was not scheduled for a while finds the expired timer and the answer at the same time. The second
        period lets it read the answer, so that it does not take its own pause for a silent Redis.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as bound:
            timer = loop.call_later(ANSWER_SECONDS, lambda: bound.reschedule(loop.time() + ANSWER_SECONDS))
            try:
                return await self._count(f"portal:{key}", seconds)
            finally:
                timer.cancel()

    async def _count(self, key: str, seconds: int) -> int:
        """INCR and EXPIRE in one transaction and round trip: a counter that never expires would fill Redis."""
        async with self._redis.pipeline(transaction=True) as both:
            both.incr(key)
            both.expire(key, seconds)  # set again at each count: the key names its window, and is not used after it
            count, _ = await both.execute()
        return int(count)  # a server that is not Redis may send anything

    def _should_try(self) -> bool:
        """Whether to ask Redis: always while it answers; otherwise one request every `PAUSE_SECONDS` tries."""
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
            tasks.spawn(self._pool.disconnect(inuse_connections=False))  # idle connections may be broken too

    def _mark_up(self) -> None:
        if self._away:
            self._away = False
            _log.info("rate_store_back")


def _why(error: Exception) -> str:
    """The reason for the log: the system's text for a system error. The library's text may contain the URL."""
    below = error.__cause__ or error.__context__
    return reason(below if isinstance(below, OSError) else error)


def _connected_later(url: Secret, authorities: Path | None) -> "Redis":
    from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415  # see above

    pinned = {}
    if url.reveal().startswith(b"rediss:") and authorities is not None:
        verifying_context("PORTAL_RATE_LIMIT_CA", authorities)
        pinned = {"ssl_ca_certs": str(authorities)}
    try:
        pool = BlockingConnectionPool.from_url(
            url.reveal().decode(),
            max_connections=_CONNECTIONS,
            timeout=_SOCKET_SECONDS,
            socket_timeout=_SOCKET_SECONDS,
            socket_connect_timeout=_SOCKET_SECONDS,
            protocol=2,  # protocol 3 needs a HELLO first, without a benefit here; driver_info would be sent first too
            driver_info=None,
            **pinned,
        )
    except (TypeError, ValueError):  # its text may contain the URL with a password
        raise ConfigError("PORTAL_RATE_LIMIT_URL must be a redis:, rediss: or unix: URL") from None
    return Redis(connection_pool=pool)
