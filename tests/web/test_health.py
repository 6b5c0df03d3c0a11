"""HealthOut: alive without asking anybody, ready only when everything answers, and never why not."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
import structlog
from fastapi import FastAPI

from portal.backends.blobs.base import StoreAway
from portal.core.errors import Unavailable
from portal.db.unit_of_work import DatabaseAway
from portal.web import errors, health
from portal.web.health import Readiness

Check = Callable[[], Awaitable[None]]


async def well() -> None:
    """Answers."""


def failing(error: Exception) -> Check:
    async def fail() -> None:
        raise error

    return fail


async def get(path: str, **checks: Check) -> httpx.Response:
    app = FastAPI()
    app.include_router(health.router(Readiness(lambda: checks)))
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
    app.include_router(health.router(Readiness(dict)))
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


class Part:
    """Counts how often it was asked, and answers when it is let go; `fails` is what it answers with."""

    def __init__(self) -> None:
        self.asked, self.fails = 0, False
        self.go_on = asyncio.Event()

    async def check(self) -> None:
        self.asked += 1
        await self.go_on.wait()
        if self.fails:
            raise Unavailable


def of(part: Part, fresh_seconds: float) -> Readiness:
    return Readiness(lambda: {"keys": part.check}, fresh_seconds)


async def test_however_many_ask_a_part_is_asked_once_for_all_of_them() -> None:
    part = Part()
    readiness = of(part, 3600)
    asking = [asyncio.create_task(readiness.away()) for _ in range(50)]
    leaver = asyncio.create_task(readiness.away())
    await asyncio.wait([leaver], timeout=0)
    leaver.cancel()
    part.go_on.set()
    assert await asyncio.gather(*asking) == [[]] * 50
    part.fails = True
    assert await readiness.away() == []
    assert part.asked == 1


async def test_what_is_away_is_away_for_as_long_as_what_is_there_is_there() -> None:
    part = Part()
    part.fails = True
    part.go_on.set()
    readiness = of(part, 3600)
    assert [await readiness.away() for _ in range(5)] == [["keys"]] * 5
    assert part.asked == 1


async def test_an_answer_that_is_too_old_is_not_given() -> None:
    part = Part()
    part.go_on.set()
    readiness = of(part, 0)
    assert await readiness.away() == []
    part.fails = True
    assert await readiness.away() == ["keys"]
    assert part.asked == 2


async def test_a_part_that_hangs_is_asked_once_however_old_the_answer_and_stops_no_end() -> None:
    part = Part()
    readiness = of(part, 0)
    asking = [asyncio.create_task(readiness.away()) for _ in range(5)]
    await asyncio.wait(asking, timeout=0)
    again = asyncio.create_task(readiness.away())
    await asyncio.wait([again], timeout=0)
    assert part.asked == 1
    await readiness.aclose()
    ends = await asyncio.gather(*asking, again, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 6
    await readiness.aclose()


async def test_a_bug_in_a_check_is_told_and_is_not_kept_for_ever() -> None:
    fails = [ZeroDivisionError("a bug")]

    async def check() -> None:
        if fails:
            raise fails.pop()

    readiness = Readiness(lambda: {"keys": check}, 0)
    with pytest.raises(ZeroDivisionError):
        await readiness.away()
    assert await readiness.away() == []
