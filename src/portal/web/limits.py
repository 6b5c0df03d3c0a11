"""Rate limits: every route declares its class (`@rated`), every class has a rate, every response says what is left.

Comes in: a request that the router has assigned to a route. Leaves: the same request; or `RateLimited`, before a byte
of its body is read. A request with a valid credential is counted by its principal, any other by its address. On routes
where a secret could be guessed, every request is counted by its address, before its dependencies are asked; the
dependency that authenticates the caller calls `count_by_principal`. Next: `counters`.
"""

import math
import time
from collections.abc import Awaitable, Callable, Sequence
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
    """The state of a caller's limit: this was request number `count`; in `seconds`, a new window begins at zero."""

    route_class: RouteClass
    rate: Rate
    count: int
    seconds: int

    @property
    def exceeded(self) -> bool:
        return self.count > self.rate.amount

    def headers(self) -> dict[str, str]:
        """The RateLimit headers of draft-ietf-httpapi-ratelimit-headers-10."""
        left = max(0, self.rate.amount - self.count)
        return {
            "RateLimit-Policy": f'"{self.route_class}";q={self.rate.amount};w={self.rate.seconds}',
            "RateLimit": f'"{self.route_class}";r={left};t={self.seconds}',
        }


def rated(route_class: RouteClass | None) -> Callable[[_Endpoint], _Endpoint]:
    """Decorator: declares the class of a route, as in `@rated(RouteClass.READ)`, below the router's own decorator."""

    def mark(endpoint: _Endpoint) -> _Endpoint:
        setattr(endpoint, _MARK, route_class)
        return endpoint

    return mark


unlimited = rated(None)
"""Decorator: declares that a route has no rate limit."""


def classes_of(routes: Sequence[BaseRoute]) -> dict[str, RouteClass | None]:
    """The class of every route, by route name; None for an unlimited one.

    Raises RuntimeError for a route without `@rated` or `@unlimited`.
    """
    every = list(iter_route_contexts(routes))
    unknown = sorted(route.name or "" for route in every if not hasattr(route.endpoint, _MARK))
    if unknown:
        raise RuntimeError(f"routes without a rate: {', '.join(unknown)}")
    return {route.name or "": getattr(route.endpoint, _MARK) for route in every}


def counts_by_address(endpoint: Callable[..., Any]) -> Callable[[Request], Awaitable[None]] | None:
    """What counts a request to the endpoint by address, for a class in `BY_ADDRESS`; None for any other."""
    route_class: RouteClass | None = getattr(endpoint, _MARK, None)
    if route_class is None or route_class not in BY_ADDRESS:
        return None

    async def count(request: Request) -> None:
        limits: Limits = request.app.state.limits
        await limits.count_by_address(request, route_class)

    return count


def counts_by_caller(endpoint: Callable[..., Any]) -> bool:
    """Whether a request to the endpoint is counted where its caller is authenticated, and nowhere else."""
    route_class: RouteClass | None = getattr(endpoint, _MARK, None)
    return route_class is not None and route_class not in BY_ADDRESS


class Limits:
    """The limits of one app."""

    def __init__(
        self, rates: Rates, shared: SharedCounters | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._rates = rates
        self._own = OwnCounters()
        self._shared = shared
        self._clock = clock

    async def count_by_address(self, request: Request, route_class: RouteClass) -> None:
        """Count the request by the client's address. Raises RateLimited."""
        await self._count(request, route_class, _by_address(request))

    async def count_by_principal(self, request: Request, actor: str | None) -> None:
        """Count the request by `actor`, its principal; by address if `actor` is None. Requests of the classes in
        `BY_ADDRESS` are not counted again. Raises RateLimited.
        """
        route_class = _class_of(request)
        if route_class is not None and route_class not in BY_ADDRESS:
            await self._count(request, route_class, actor or _by_address(request))

    async def count(self, route_class: RouteClass, who: str) -> LimitState | None:
        """Count one more request of `who`; returns the state of the limit, None for a class without a limit.

        Windows are aligned to the clock, so all processes use the same window without asking for its end. The larger
        of the two counts is used: the count of this process continues if Redis is unavailable or was emptied. A caller
        over its limit in this process is not counted in Redis any more.
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
    """Adds the RateLimit headers to the response of every counted request, also of errors and streams. Pure ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start" and (standing := scope["state"].get(_STATE)) is not None:
                MutableHeaders(scope=message).update(standing.headers())
            await send(message)

        await self._app(scope, receive, telling)


def document_limits(operation: dict[str, Any], route_class: RouteClass | None) -> None:
    """Add the 429 response to the OpenAPI operation of a limited route. Every response has the RateLimit headers; only
    the 429 documents them.
    """
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
    """The counter key of the client's address; for IPv6, of its /64 network."""
    address = request.scope["state"].get("address")
    return f"address:{'unknown' if address is None else network_of(address)}"
