"""HealthOut: alive without asking anybody, ready only when everything answers, and never why not."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
import structlog
from fastapi import FastAPI

from portal.backends.blobs.base import StoreAway
from portal.core.errors import Unavailable
from portal.db.unit_of_work import DatabaseAway
from portal.web import errors, health

Check = Callable[[], Awaitable[None]]


async def well() -> None:
    """Answers."""


def failing(error: Exception) -> Check:
    async def fail() -> None:
        raise error

    return fail


async def get(path: str, **checks: Check) -> httpx.Response:
    app = FastAPI()
    app.include_router(health.router(lambda: checks))
    errors.install(app, lambda _request, _error: None)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://portal") as client:
        return await client.get(path)


async def test_a_process_is_alive_whatever_is_away() -> None:
    answer = await get("/healthz", database=failing(DatabaseAway()))
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_portal_whose_parts_all_answer_is_ready() -> None:
    asked = []

    async def note() -> None:
        asked.append(1)

    answer = await get("/readyz", database=note, store=note, keys=note)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert len(asked) == 3


async def test_every_part_that_is_away_is_named_at_once() -> None:
    answer = await get("/readyz", database=failing(DatabaseAway()), keys=well, store=failing(StoreAway()))
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["code"] == "not_ready"
    assert answer.json()["detail"] == "Away: database, store."


async def test_why_a_part_is_away_is_nobodys_business() -> None:
    answer = await get("/readyz", database=failing(Unavailable("postgresql://u:c4n4ry@db")))
    assert answer.status_code == 503
    assert "c4n4ry" not in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_asked_and_not_told(path: str) -> None:
    app = FastAPI()
    app.include_router(health.router(dict))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://portal") as client:
        assert (await client.post(path)).status_code == 405


async def test_the_reason_is_for_the_log_alone() -> None:
    async def refused() -> None:
        raise DatabaseAway from ConnectionRefusedError(111, "Connect call failed ('10.0.0.7', 5432)")

    with structlog.testing.capture_logs() as logs:
        answer = await get("/readyz", database=refused)
    assert "refused" not in answer.text
    line = logs[0]
    assert (line["event"], line["part"], line["code"]) == ("not_ready", "database", "database_away")
    assert line["reason"] == "nothing listens there (connection refused)"
