"""Rate limits: every route declares its class (`@rated`), every class has a rate, every answer says what is left of it.

Comes in: a request that the router has given to a route. Leaves: the same request, or `RateLimited` before a byte of
its body was read. Whoever shows a credential is counted by whom it stands for, everybody else by their address; where
secrets are guessed, everybody is. `Limits.arrive` runs before every other dependency and counts addresses; `admit` is
called by whoever finds out who is calling. Next: `counters`.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from fastapi.routing import iter_route_contexts
from starlette.datastructures import MutableHeaders
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.core.errors import RateLimited
from portal.core.networks import network_of
from portal.core.rates import BY_ADDRESS, DEFAULTS, Rate, Rates, RouteClass
from portal.web.counters import OwnCounters, SharedCounters
from portal.web.errors import documented

_STATE = "rate_standing"
_MARK = "__rate_class__"
_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class LimitState:
    """Where a caller stands: this was request number `count`, and `seconds` later everything starts again."""

    route_class: RouteClass
    rate: Rate
    count: int
    seconds: int

    @property
    def exceeded(self) -> bool:
        return self.count > self.rate.amount

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-10 writes them."""
        left = max(0, self.rate.amount - self.count)
        return {
            "RateLimit-Policy": f'"{self.route_class}";q={self.rate.amount};w={self.rate.seconds}',
            "RateLimit": f'"{self.route_class}";r={left};t={self.seconds}',
        }


def rated(route_class: RouteClass | None) -> Callable[[_Endpoint], _Endpoint]:
    """Declares at a route what it is to the limits: `@rated(RouteClass.READ)`, below the router's own decorator."""

    def mark(endpoint: _Endpoint) -> _Endpoint:
        setattr(endpoint, _MARK, route_class)
        return endpoint

    return mark


unlimited = rated(None)
"""Declares that a route is never limited."""


def classes_of(routes: Sequence[BaseRoute]) -> dict[str, RouteClass | None]:
    """The class of every route, by its name. Raises RuntimeError for a route that declares none."""
    every = list(iter_route_contexts(routes))
    unknown = sorted(route.name or "" for route in every if not hasattr(route.endpoint, _MARK))
    if unknown:
        raise RuntimeError(f"routes without a rate: {', '.join(unknown)}")
    return {route.name or "": getattr(route.endpoint, _MARK) for route in every}


class Limits:
    """The limits of one app."""

    def __init__(
        self, rates: Rates, shared: SharedCounters | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._rates = rates
        self._own = OwnCounters()
        self._shared = shared
        self._clock = clock

    async def count_by_address(self, request: Request) -> None:
        """A dependency of every route. Raises RateLimited where addresses are counted."""
        route_class = _class_of(request)
        if route_class in BY_ADDRESS:
            await self._count(request, route_class, _by_address(request))

    async def count_by_principal(self, request: Request, actor: str | None) -> None:
        """Count a request whose credential stands for `actor`, or for nobody. Raises RateLimited."""
        route_class = _class_of(request)
        if route_class is not None and route_class not in BY_ADDRESS:
            await self._count(request, route_class, actor or _by_address(request))

    async def count(self, route_class: RouteClass, who: str) -> LimitState | None:
        """One more request of `who`; None where there is no limit.

        Windows begin by the clock, so that every process means the same one, and its end need not be asked for. The
        larger count is believed: this process's own goes on where Redis left, was emptied, or is asked no more.
        """
        rate = self._rates[route_class]
        if rate is None:
            return None
        window, passed = divmod(self._clock(), rate.seconds)
        count = self._own.add(f"{route_class}:{who}", int(window))
        if self._shared is not None and count <= rate.amount:
            shared = await self._shared.add(f"{route_class}:{int(window)}:{who}", rate.seconds)
            count = max(count, shared or 0)
        return LimitState(route_class, rate, count, math.ceil(rate.seconds - passed))

    async def check(self) -> None:
        """Raises RateStoreAway."""
        if self._shared is not None:
            await self._shared.check()

    async def aclose(self) -> None:
        if self._shared is not None:
            await self._shared.aclose()

    async def _count(self, request: Request, route_class: RouteClass, who: str) -> None:
        standing = await self.count(route_class, who)
        if standing is None:
            return
        request.scope["state"][_STATE] = standing
        if standing.exceeded:
            raise RateLimited(standing.seconds)


def _class_of(request: Request) -> RouteClass | None:
    route_class: RouteClass | None = getattr(request.scope["route"].endpoint, _MARK)
    return route_class


class RateLimitHeaders:
    """Tells every caller that was counted where they stand, in pure ASGI: on errors and streams as well."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start" and (standing := scope["state"].get(_STATE)) is not None:
                MutableHeaders(scope=message).update(standing.headers())
            await send(message)

        await self._app(scope, receive, telling)


def document_limits(operation: dict[str, Any], route_class: RouteClass | None) -> None:
    """What the OpenAPI says of a route that is limited. Every answer has the headers; the refusal shows them."""
    rate = None if route_class is None else DEFAULTS[route_class]
    if route_class is None or rate is None:
        return
    for status, answer in documented(RateLimited).items():
        operation["responses"].setdefault(str(status), answer)
    refusal = operation["responses"]["429"]
    refusal["headers"] = refusal.get("headers", {}) | _documented(route_class, rate)


def _documented(route_class: RouteClass, rate: Rate) -> dict[str, Any]:
    shown = LimitState(route_class, rate, 1, rate.seconds).headers()
    told = {
        "RateLimit-Policy": f"The limit; by default {rate.amount:,} requests in {rate.seconds} seconds.",
        "RateLimit": "What is left of it, and in how many seconds it starts again.",
    }
    return {
        name: {"schema": {"type": "string"}, "description": told[name], "example": value}
        for name, value in shown.items()
    }


def _by_address(request: Request) -> str:
    """The caller's address as the middleware judged it; of IPv6 the network that one customer has."""
    address = request.scope["state"].get("address")
    return f"address:{'unknown' if address is None else network_of(address)}"
