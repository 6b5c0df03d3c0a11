"""What a sign-in over HTTP costs, counted: one verification whoever it is for, and never more than two at once."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update

from portal import config
from portal.app import create_app
from portal.bootstrap import open_resources
from portal.core import clock
from portal.core.ids import new_id
from portal.core.principal import Role
from portal.core.secrets import Secret
from portal.db.unit_of_work import Database
from portal.features.identity.models import UserRow
from portal.features.identity.passwords import PasswordHasher
from portal.features.identity.throttle import FREE_HERE
from portal.features.identity.tokens import AccessClaims, AccessTokens
from portal.features.identity.users import Users

from .counting import Context

PASSWORD = "correct horse battery"
PERSONAL = {"x-request-id", "date"}
KEYS = {f"PORTAL_{name}_KEY": secrets.token_hex(32) for name in ("MASTER", "SECRET")}
AT_ONCE, PLACES, CROWD = 2, 32, 200


@pytest.fixture
def folder(tmp_path: Path, sqlite_template: Path) -> Path:
    """A data folder with a migrated database."""
    made = tmp_path / "var"
    made.mkdir()
    (made / "portal.db").write_bytes(sqlite_template.read_bytes())
    return made


@pytest.fixture
async def app(folder: Path) -> AsyncIterator[FastAPI]:
    """A portal that is open, with passwords that cost nothing, and two accounts of which one is disabled."""
    said = {"PORTAL_DATA_DIR": str(folder), "PORTAL_RATE_LIMITS": "sign_in=off"}
    settings, variables = config.load(KEYS | said, folder / ".env")
    resources = open_resources(settings, variables)
    await resources.stores.establish(resources.database)
    await resources.aclose()
    made = create_app(settings, variables)
    async with made.router.lifespan_context(made):
        database: Database = made.state.portal.resources.database
        made.state.portal.identity.sessions._password_auth._hasher = hasher = PasswordHasher(
            memory_kib=8, passes=1, lanes=1
        )
        users = Users(database, hasher)
        for name in ("ada", "gone"):
            await users.create(name, Role.ANALYST, PASSWORD, actor="system:test")
        async with database.write() as connection:
            rows: Any = UserRow
            await connection.execute(update(UserRow).where(rows.name == "gone").values(disabled_at=clock.now()))
        yield made


@pytest.fixture
async def context(app: FastAPI) -> AsyncIterator[Context]:
    """The library behind the sign-ins, counted; the hash that stands for unknown users is made."""
    hasher: PasswordHasher = app.state.portal.identity.sessions._password_auth._hasher
    await hasher.verify(PASSWORD, None)
    counting: Any = Context(hasher._context)
    hasher._context = counting
    yield counting
    counting.gate.set()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as made:
        yield made


async def sign_in(client: httpx.AsyncClient, name: str, password: str) -> httpx.Response:
    form = {"grant_type": "password", "username": name, "password": password}
    return await client.post("/auth/token", data=form)


def told(answer: httpx.Response) -> tuple[int, dict[str, str], dict[str, str]]:
    """Everything an answer tells, but which request it is for."""
    headers = {name: value for name, value in answer.headers.items() if name not in PERSONAL}
    return answer.status_code, headers, answer.json() | {"request_id": ""}


async def test_every_refused_sign_in_costs_one_verification_and_tells_the_same(
    client: httpx.AsyncClient, context: Context
) -> None:
    attempts = {
        "a wrong password": ("ada", "a wrong password"),
        "an empty password": ("ada", ""),
        "a password of 1,024 bytes": ("ada", "x" * 1024),
        "an unknown name": ("eve", PASSWORD),
        "a disabled account": ("gone", PASSWORD),
        "no name": ("", PASSWORD),
        "a name with a NUL": ("ada\0", PASSWORD),
        "a name that nobody can have": ("a" * 5000, PASSWORD),
        "an invisible twin": ("ada\u3164", PASSWORD),
    }
    answers = []
    for what, (name, password) in attempts.items():
        context.calls.clear()
        answers.append(told(await sign_in(client, name, password)))
        assert context.calls == {"verify": 1}, what
    assert answers[0][0] == 400
    assert answers[0][2]["error"] == "invalid_grant"
    assert answers == [answers[0]] * len(attempts)


async def test_what_cannot_be_a_password_costs_nothing_for_anybody(client: httpx.AsyncClient, context: Context) -> None:
    answers = [told(await sign_in(client, name, "x" * 1025)) for name in ("ada", "eve", "gone")]
    assert answers[0][0] == 422
    assert answers == [answers[0]] * 3
    assert context.calls == {}


async def test_of_two_hundred_guesses_at_once_as_many_are_judged_as_are_free(
    client: httpx.AsyncClient, context: Context
) -> None:
    for name in ("ada", "eve"):
        context.calls.clear()
        crowd = [sign_in(client, name, f"guess number {number}") for number in range(CROWD // 4)]
        answers = await asyncio.gather(*crowd)
        assert sorted(answer.status_code for answer in answers) == [400] * FREE_HERE + [429] * (CROWD // 4 - FREE_HERE)
        assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 429} == {"1"}
        assert context.calls == {"verify": FREE_HERE}, name


def token_of_nobody() -> str:
    tokens = AccessTokens([Secret(bytes.fromhex(KEYS["PORTAL_SECRET_KEY"]))])
    return tokens.issue(AccessClaims(new_id(), new_id()), clock.now())


async def from_elsewhere(app: FastAPI, number: int) -> httpx.Response:
    """A sign-in of somebody else from another place each time: nothing is counted together."""
    transport = httpx.ASGITransport(app, client=(f"198.51.100.{number}", 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
        return await sign_in(client, f"nobody-{number}", PASSWORD)


async def test_two_hundred_at_once_hash_two_at_a_time_and_keep_nobody_else_waiting(
    app: FastAPI, client: httpx.AsyncClient, context: Context
) -> None:
    signed_in = (await sign_in(client, "ada", PASSWORD)).json()["access_token"]
    context.calls.clear()
    context.gate.clear()
    crowd = [asyncio.create_task(from_elsewhere(app, number)) for number in range(CROWD)]
    await context.is_busy()
    finished = asyncio.as_completed(crowd)
    refused = [await next(finished) for _ in range(CROWD - PLACES)]
    for path, token, status in (
        ("/users/me", signed_in, 200),
        ("/files", signed_in, 200),
        ("/users/me", token_of_nobody(), 401),
    ):
        answer = await client.get(path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
    assert (await client.get("http://localhost/healthz")).status_code == 200
    assert context.inside == AT_ONCE
    context.gate.set()
    answers = await asyncio.gather(*crowd)
    assert {answer.status_code for answer in refused} == {503}
    assert all(answer.headers["retry-after"].isdigit() for answer in refused)
    assert sorted(answer.status_code for answer in answers) == [400] * PLACES + [503] * (CROWD - PLACES)
    assert (context.most_inside, context.calls) == (AT_ONCE, {"verify": PLACES})
