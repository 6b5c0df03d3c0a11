"""Liveness and readiness, for orchestrators. Comes in: what to ask. Leaves: yes, or a 503 that names what is
away; why it is goes to the log.
"""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter
from pydantic import BaseModel, Field

from portal.core import log
from portal.core.errors import PortalError, Unavailable
from portal.db.reasons import reason
from portal.web.errors import documented
from portal.web.limits import unlimited

_log = log.get(__name__)
Checks = Mapping[str, Callable[[], Awaitable[None]]]


class NotReady(Unavailable):
    code, title = "not_ready", "The portal cannot serve now."


class HealthOut(BaseModel):
    """Whether the portal is up."""

    status: str = Field("ok", description="Always `ok`: what is not is a 503.")


def router(checks: Callable[[], Checks]) -> APIRouter:
    """`checks` gives what to ask by name; each raises a PortalError where its part is away."""
    health = APIRouter(tags=["health"])

    @health.get("/healthz", summary="Is the process alive?", response_description="It is.")
    @unlimited
    async def healthz() -> HealthOut:
        """Yes, as soon as it answers at all."""
        return HealthOut()

    @health.get("/readyz", summary="Can it serve?", response_description="It can.", responses=documented(NotReady))
    @unlimited
    async def readyz() -> HealthOut:
        """Asks the database, the store and the key provider; what is unavailable is named."""
        away = []
        for name, check in checks().items():
            try:
                await check()
            except PortalError as error:
                _log.warning("not_ready", part=name, code=error.code, reason=reason(error))
                away.append(name)
        if away:
            raise NotReady(f"Away: {', '.join(away)}.")
        return HealthOut()

    return health
