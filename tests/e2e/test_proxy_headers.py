"""Headers in which a proxy would say who is calling, and for what: here they say nothing, whoever sends them.

What X-Forwarded-For is believed of a trusted proxy, and of nobody else, is in `test_head.py`.
"""

import secrets

import httpx
import pytest

from .conftest import Served
from .raw import Wire, bearer, head
from .seen import problem

WHO = [
    *("X-User", "Remote-User", "X-Remote-User", "X-Forwarded-User", "X-Auth-Request-User", "X-Webauth-User"),
    *("X-Authenticated-User", "X-Internal-User", "X-Internal-Role", "X-Admin", "Cf-Access-Authenticated-User-Email"),
    *("X-Client-Cert", "Ssl-Client-Verify", "X-Original-Authorization", "Proxy-Authorization", "Cookie"),
]
TWINS = [*WHO, *(name.replace("-", "_") for name in WHO if "-" in name)]


def ask(portal: Served, target: str, *headers: str, method: str = "GET") -> httpx.Response:
    with Wire(portal.port) as wire:
        wire.send(head(method, target, *headers))
        return wire.answer()


@pytest.mark.parametrize("name", TWINS)
def test_nobody_is_signed_in_by_a_header_of_a_proxy(portal: Served, fronted: Served, name: str) -> None:
    for served in (portal, fronted):
        assert problem(ask(served, "/api/v1/users/me", f"{name}: admin")) == (401, "not_signed_in")


def test_who_is_signed_in_is_nobody_else_for_all_that_a_header_says(fronted: Served) -> None:
    with fronted.client("analyst") as analyst:
        told = [f"{name}: admin" for name in TWINS]
        me = ask(fronted, "/api/v1/users/me", bearer(analyst), *told)
        assert (me.json()["name"], me.json()["role"]) == ("analyst", "analyst")
        assert (
            analyst.put("/upload/a.bin", content=b"x", headers={"X-User": "admin"}).json()["owner_id"]
            == me.json()["id"]
        )


@pytest.mark.parametrize("spelling", ["Authorization_", "X-Authorization", "HTTP-Authorization", "Authorization\u00e9"])
def test_a_token_under_another_name_is_not_looked_for(portal: Served, analyst: httpx.Client, spelling: str) -> None:
    told = bearer(analyst).replace("Authorization", spelling, 1)
    assert ask(portal, "/api/v1/users/me", told).status_code in {400, 401}


@pytest.mark.parametrize(
    "header",
    [
        "X-Original-URL: /api/v1/users/me",
        "X-Rewrite-URL: /api/v1/users/me",
        "X-Forwarded-Prefix: /api/v1/users/me?",
        "X-Forwarded-Path: /api/v1/users/me",
        "X-Accel-Redirect: /api/v1/users/me",
        "X-Sendfile: /etc/passwd",
    ],
)
def test_no_header_leads_to_another_path(fronted: Served, header: str) -> None:
    with fronted.client("analyst") as analyst:
        assert problem(ask(fronted, "/nothing", bearer(analyst), header)) == (404, "not_found")
    assert ask(fronted, "/healthz", header).json() == {"status": "ok"}


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_makes_another_method_of_a_request(portal: Served, analyst: httpx.Client, name: str) -> None:
    entry = analyst.put(f"/upload/{secrets.token_hex(8)}", content=b"x").json()
    target, told = f"/api/v1/files/{entry['id']}", [bearer(analyst), f"{name}: DELETE", "If-Match: *"]
    assert ask(portal, target, *told).json() == entry
    assert problem(ask(portal, target, *told, method="POST")) == (405, "method_not_allowed")
    assert analyst.get(f"/files/{entry['id']}").json() == entry


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Forwarded-Server", "X-Host", "Forwarded", "X-Forwarded-Proto"])
def test_no_header_gives_an_answer_another_address(fronted: Served, name: str) -> None:
    with fronted.client("analyst") as analyst:
        value = "host=evil.example.org" if name == "Forwarded" else "evil.example.org"
        created = analyst.put(f"/upload/{secrets.token_hex(8)}", content=b"x", headers={name: value})
        refused = analyst.get("/nothing", headers={name: value})
    assert created.headers["location"] == f"/api/v1/files/{created.json()['id']}"
    for answer in (created, refused):
        assert "evil" not in answer.text + repr(answer.headers)
