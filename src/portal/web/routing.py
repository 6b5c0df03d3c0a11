"""Routes: one flat list of them, each with at most a few dependencies that have none themselves.

Comes in: endpoints, whose signatures name what they need. Leaves: routes for `app`, and `RouteTable`, which hands a
request to the few routes that can match it. Why: docs/adr/0020.

A parameter of an endpoint is one of three things: the caller, which is its first dependency and declares itself with
`asks_for`; a value of the request for FastAPI to parse; or something that is at hand (`AtHand`): a service, the origin.
Next: `limits` has counted a request by address before its dependencies are asked.
"""

import inspect
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from portal.web import API
from portal.web.limits import counts_by_address, counts_by_caller

_ASKS = "__asks_for__"
_Callable = TypeVar("_Callable", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class AtHand:
    """Marks a parameter, as in `Annotated[Files, AtHand(files_of)]`: its value is `read(request)`.

    It is no dependency of FastAPI's: nothing is solved for it, and the document does not have it.
    """

    read: Callable[[Request], Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the OpenAPI document says about the caller of a route: the schemes that it may use, and their scopes."""

    schemes: tuple[SecurityBase, ...]
    scopes: tuple[str, ...]


def asks_for(asked: Asked) -> Callable[[_Callable], _Callable]:
    """Decorator of the dependency that authenticates the caller. FastAPI itself cannot see what it reads."""

    def mark(dependency: _Callable) -> _Callable:
        setattr(dependency, _ASKS, asked)
        return dependency

    return mark


def asked_by(dependant: Dependant) -> Asked | None:
    """What a route asks of its caller; None for a route that anybody may call. Raises RuntimeError for a route whose
    caller is not its first dependency: something would be read before the caller is known.
    """
    found: list[Asked | None] = [getattr(needed.call, _ASKS, None) for needed in dependant.dependencies]
    if any(found[1:]):
        raise RuntimeError(f"{dependant.path}: the caller must be the first dependency")
    return found[0] if found else None


class Route(APIRoute):
    """A route of the portal. Raises RuntimeError for an endpoint that names its caller too late, or that nothing would
    count: it has neither a caller nor a class that is counted by address.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _without_at_hand(endpoint), **options)
        if asked_by(self.dependant) is None and counts_by_caller(self.endpoint):
            raise RuntimeError(f"{path}: a class in BY_ADDRESS must count it, since it has no caller")

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        count = counts_by_address(self.endpoint)
        if count is None:
            return handle

        async def counted(request: Request) -> Response:
            await count(request)
            return await handle(request)

        return counted


def router(*tags: str, prefix: str = API) -> APIRouter:
    """The router of a feature. Its routes have their whole path and the name of their endpoint as operation id."""
    return APIRouter(prefix=prefix, tags=list(tags), route_class=Route, generate_unique_id_function=_name)


class RouteTable:
    """In front of the app's router: hands a request to the routes with its method and its first path segments.

    A request that none of them matches goes to the app's router, which tries every route and knows 404 from 405.
    """

    def __init__(self, every: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        """Raises RuntimeError for a route that no `router` of this module made: nothing would count it by address."""
        by_key: defaultdict[tuple[str, str], list[BaseRoute]] = defaultdict(list)
        for route in routes:
            if not isinstance(route, Route):
                raise RuntimeError(f"{route!r} was not made by portal.web.routing")  # noqa: TRY004  # no argument's type
            for method in route.methods or ():
                by_key[method, _place(route.path)].append(route)
        self._every = every
        self._few: dict[tuple[str | None, str], ASGIApp] = {
            key: Router(few, redirect_slashes=False, default=every).app for key, few in by_key.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = scope.get("method"), _place(scope.get("path", ""))
        await self._few.get(key, self._every)(scope, receive, send)


def _place(path: str) -> str:
    """The first segment behind the API's prefix, which is never a parameter; empty for any other path."""
    return path[len(API) + 1 :].partition("/")[0] if path.startswith(f"{API}/") else ""


def _without_at_hand(endpoint: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """The endpoint as FastAPI sees it: with the request in place of the parameters that are at hand."""
    signature = inspect.signature(endpoint)
    readers = {name: found for name, one in signature.parameters.items() if (found := _reader(one)) is not None}
    if not readers:
        return endpoint
    given = [one for name, one in signature.parameters.items() if name not in readers]
    own = next((one.name for one in given if one.annotation is Request), None)
    shown = [] if own else [inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)]

    @wraps(endpoint)
    async def filled(**values: Any) -> Any:
        request = values[own] if own else values.pop("request")
        return await endpoint(**values, **{name: read(request) for name, read in readers.items()})

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in given]
    filled.__signature__ = signature.replace(parameters=parameters + shown)  # type: ignore[attr-defined]
    return filled


def _reader(parameter: inspect.Parameter) -> Callable[[Request], Any] | None:
    marks = getattr(parameter.annotation, "__metadata__", ())
    return next((mark.read for mark in marks if isinstance(mark, AtHand)), None)


def _name(route: APIRoute) -> str:
    return route.name
