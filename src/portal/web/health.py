"""Liveness and readiness, for orchestrators.

Comes in: the checks. Leaves: 200; or a 503 that names the unavailable parts, whose reasons go to the log. The routes
need no credential and have no rate limit, and a key provider may charge per call. So requests share one round of checks
and its result, for 3 seconds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter
from pydantic import BaseModel, Field

from portal.core import log
from portal.core.errors import PortalError, Unavailable
from portal.db.reasons import reason
from portal.web import routing
from portal.web.errors import documented
from portal.web.limits import unlimited

FRESH_SECONDS = 3.0
_log = log.get(__name__)
Checks = Mapping[str, Callable[[], Awaitable[None]]]
"""The checks by the name of the part. A check raises a PortalError if its part is unavailable."""


class NotReady(Unavailable):
    code, title = "not_ready", "The portal cannot serve now."


class HealthOut(BaseModel):
    """Whether the portal is up."""

    status: str = Field("ok", description="Always `ok`: what is not is a 503.")


class Readiness:
    """The unavailable parts, cached: a result comes from checks that began at most `fresh_seconds` ago, or that are
    still running.
    """

    def __init__(self, checks: Callable[[], Checks], fresh_seconds: float = FRESH_SECONDS) -> None:
        self._checks, self._fresh_seconds = checks, fresh_seconds
        self._round: asyncio.Task[list[str]] | None = None
        self._began = 0.0

    async def away(self) -> list[str]:
        """The names of the unavailable parts, in the order of the checks."""
        if self._round is None or (self._round.done() and time.monotonic() - self._began >= self._fresh_seconds):
            self._began = time.monotonic()
            self._round = asyncio.create_task(self._ask())
        return await asyncio.shield(self._round)  # a cancelled request does not cancel the round for the others

    async def aclose(self) -> None:
        """Cancel a running round of checks. Idempotent."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait([self._round])

    async def _ask(self) -> list[str]:
        away = []
        for name, check in self._checks().items():
            try:
                await check()
            except PortalError as error:
                _log.warning("not_ready", part=name, code=error.code, reason=reason(error))
                away.append(name)
        return away


def router(readiness: Readiness) -> APIRouter:
    """The two routes."""
    health = routing.router("health", prefix="")

    @health.get("/healthz", summary="Is the process alive?", response_description="It is.")
    @unlimited
    async def healthz() -> HealthOut:
        """Yes, as soon as it answers at all."""
        return HealthOut()

    @health.get("/readyz", summary="Can it serve?", response_description="It can.", responses=documented(NotReady))
    @unlimited
    async def readyz() -> HealthOut:
        """Whether the database, the store and the key provider answer, as of a few seconds ago; what is unavailable is
        named.
        """
        away = await readiness.away()
        if away:
            raise NotReady(f"Away: {', '.join(away)}.")
        return HealthOut()

    return health
