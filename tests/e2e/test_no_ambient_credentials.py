"""Nothing that a browser sends by itself signs anybody in, so that no other site can ride on it.

That no answer sets a cookie is asserted where answers are read: `matrix_asks.told`.
"""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from .conftest import PASSWORD
from .matrix_asks import Question, question, told, written
from .matrix_table import ROWS
from .matrix_world import ANY, Objects, World
from .seen import problem
from .test_mass_assignment import BODIES, who_may

COOKIES = ("access_token", "token", "session", "sessionid", "jwt", "auth", "Authorization", "X-API-Token", "portal")
PARAMETERS = ("access_token", "token", "api_token", "api_key", "key", "auth", "bearer", "jwt", "authorization")
CLOSED = [row for row, cells in ROWS.items() if cells["anon"] == "401"]
EVIL = {"Origin": "https://evil.example.org", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}


def by_cookie(said: Question, nobody: httpx.Client, token: str) -> httpx.Response:
    jar = "; ".join(f"{name}={token}" for name in COOKIES)
    return said.ask(nobody, headers={**ANY, "Cookie": f'{jar}; bearer="Bearer {token}"'})


def by_basic(said: Question, nobody: httpx.Client, token: str) -> httpx.Response:
    with_token = said.ask(nobody, auth=("adm", token))
    assert with_token.status_code == 401
    return said.ask(nobody, auth=("adm", PASSWORD))


def by_query(said: Question, nobody: httpx.Client, token: str) -> httpx.Response:
    return said.ask(nobody, params={**said.says.get("params", {}), **dict.fromkeys(PARAMETERS, token)})


@pytest.mark.parametrize("way", [by_cookie, by_basic, by_query])
@pytest.mark.parametrize("who", ["adm", "lead", "tok", "dlnk", "ulnk"])
def test_a_good_credential_elsewhere_than_in_its_header_is_none(
    world: World, who: str, way: Callable[[Question, httpx.Client, str], httpx.Response]
) -> None:
    token = world.clients[who].headers["authorization"].removeprefix("Bearer ")
    asked = {row: question(row, Objects(world, who, world.shared)) for row in CLOSED}
    before = written(world)
    answers = {row: told(row, said, way(said, world.clients["anon"], token)) for row, said in asked.items()}
    assert answers == dict.fromkeys(CLOSED, "401")
    assert written(world) == before


@pytest.mark.parametrize("operation", [*BODIES, "create_token"])
@pytest.mark.parametrize("kind", ["text/plain", "text/plain;charset=UTF-8", "multipart/form-data; boundary=x", ""])
def test_what_a_form_of_another_site_can_send_is_no_request(world: World, operation: str, kind: str) -> None:
    row, who = who_may(operation)
    said = question(row, Objects(world, who, world.shared))
    before = written(world)
    sent: dict[str, Any] = {"headers": {**ANY, **EVIL, "Content-Type": kind}, "json": None, "data": None}
    for credential in (who, "anon"):
        answer = said.ask(world.clients[credential], content=b'{"name": "x", "x": "="}', **sent)
        away = credential == "anon" and ROWS[row]["anon"] == "401"
        assert problem(answer) == ((401, "not_signed_in") if away else (415, "unsupported_media_type"))
        assert "access-control-allow-origin" not in answer.headers
    assert written(world) == before


def test_there_is_something_to_be_kept_out_of() -> None:
    assert len(CLOSED) > 60
