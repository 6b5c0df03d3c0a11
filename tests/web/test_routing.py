"""How a request finds its route and what is solved for it: counted, because a clock could be wrong."""

import re
import uuid
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.security import HTTPBearer

from portal.core.principal import Principal
from portal.core.rates import BY_ADDRESS, RouteClass
from portal.web import routing
from portal.web.limits import rated
from portal.web.routing import Asked, AtHand, Route, RouteTable, asks_for

from ..e2e.matrix_asks import app as whole_app

OFTEN = {"upload_raw", "read_file", "download_file", "list_files"}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return whole_app()


def routes(app: FastAPI) -> list[Route]:
    found = [route for route in app.routes if isinstance(route, Route)]
    assert len(found) == len(app.routes) > 70
    return found


def test_no_dependency_of_a_route_has_dependencies_of_its_own(app: FastAPI) -> None:
    needed = {route.name: route.dependant.dependencies for route in routes(app)}
    assert not [name for name, nodes in needed.items() if any(node.dependencies for node in nodes)]
    assert max(map(len, needed.values())) <= 3  # the caller, the body, the version that was read
    assert {len(needed[name]) for name in OFTEN} == {1}


async def test_a_request_tries_few_routes(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Route] = []
    matches = Route.matches

    def counted(route: Route, scope: Any) -> Any:
        tried.append(route)
        return matches(route, scope)

    async def handle(*_: object) -> Any: ...

    monkeypatch.setattr(Route, "matches", counted)
    monkeypatch.setattr(Route, "handle", handle)
    most = {}
    for route in routes(app):
        tried.clear()
        path = re.sub(r"{\w+:uuid}", str(uuid.uuid4()), route.path)
        method = next(iter(route.methods or ()))
        await app.router({"type": "http", "method": method, "path": path}, handle, handle)
        assert tried[-1] is route
        most[route.name] = len(tried)
    assert max(most.values()) <= 10, most
    assert max(most[name] for name in OFTEN) <= 3, most


async def ask(app: FastAPI, method: str, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.request(method, path)


def test_a_route_that_nothing_would_count_by_address_stops_the_start() -> None:
    plain = APIRouter()

    @plain.get("/forgotten")
    @rated(RouteClass.SIGN_IN)
    async def forgotten() -> None: ...

    with pytest.raises(RuntimeError, match="forgotten"):
        RouteTable(plain.app, plain.routes)


def test_a_route_that_reads_something_before_it_knows_its_caller_stops_the_start() -> None:
    @asks_for(Asked((HTTPBearer(),), ()))
    async def caller() -> Principal:
        raise AssertionError

    async def body() -> bytes:
        raise AssertionError

    async def endpoint(read: Annotated[bytes, Depends(body)], who: Annotated[Principal, Depends(caller)]) -> None: ...

    with pytest.raises(RuntimeError, match="the caller must be the first dependency"):
        routing.router().get("/late")(endpoint)


def test_a_route_without_a_caller_that_nothing_would_count_stops_the_start() -> None:
    async def endpoint() -> None: ...

    refused = set()
    for route_class in (None, *RouteClass):
        try:
            routing.router().get("/public")(rated(route_class)(endpoint))
        except RuntimeError:
            refused.add(route_class)
    assert refused == set(RouteClass) - BY_ADDRESS


async def test_what_is_at_hand_is_read_from_the_request_whether_or_not_the_endpoint_takes_it() -> None:
    agent = AtHand(lambda request: request.headers["user-agent"])
    router, app = routing.router(prefix=""), FastAPI()

    @router.get("/without/{number}")
    async def without(number: int, seen: Annotated[str, agent]) -> list[object]:
        return [number, seen]

    @router.get("/with/{number}")
    async def with_request(number: int, seen: Annotated[str, agent], request: Request) -> list[object]:
        return [number, seen, request.url.path]

    app.routes.extend(router.routes)
    assert (await ask(app, "GET", "/without/3")).json()[0] == 3
    assert (await ask(app, "GET", "/with/3")).json()[2] == "/with/3"
    assert (await ask(app, "GET", "/with/three")).status_code == 422
