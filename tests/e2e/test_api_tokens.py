"""API tokens over HTTP: made by a person, used by a script, and worth what they say."""

import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from .conftest import Served
from .raw import Wire, head
from .seen import eventually, outcomes, problem

EVERYTHING = ["files:read", "files:upload", "files:manage", "files:download"]
SIZE, PIECE = 32 << 20, 1 << 16
NOT_THERE = "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d"


@pytest.fixture
def analyst(portal: Served) -> Iterator[httpx.Client]:
    with portal.client("analyst") as client:
        yield client


def make(client: httpx.Client, *permissions: str, **more: Any) -> dict[str, Any]:
    body = {"name": "a script", "permissions": permissions or EVERYTHING, **more}
    answer = client.post("/tokens", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    made: dict[str, Any] = answer.json()
    return made


def script(portal: Served, token: str, header: str = "X-API-Token") -> httpx.Client:
    value = f"Bearer {token}" if header == "Authorization" else token
    return httpx.Client(base_url=f"{portal.url}/api/v1", headers={header: value}, timeout=60)


def hand_in(client: httpx.Client) -> httpx.Response:
    return client.put(f"/upload/{secrets.token_hex(8)}", content=b"by a script")


@pytest.mark.parametrize("header", ["X-API-Token", "Authorization"])
def test_a_script_does_what_its_owner_could(portal: Served, analyst: httpx.Client, header: str) -> None:
    made = make(analyst)
    with script(portal, made["token"], header) as client:
        assert client.get("/users/me").json()["name"] == "analyst"
        entry = hand_in(client).json()
        path = f"/files/{entry['id']}"
        assert client.get(f"{path}/content").content == b"by a script"
        assert client.delete(path, headers={"If-Match": "*"}).status_code == 204
    actors = {event["actor"] for event in portal.audit() if event["subject"] == entry["id"]}
    assert actors == {f"user:{made['owner_id']}/token:{made['id']}"}


ROUTES = {
    "files:read": [("GET", "/files"), ("GET", f"/files/{NOT_THERE}")],
    "files:upload": [("PUT", "/upload/a.bin"), ("POST", "/files")],
    "files:manage": [("PATCH", f"/files/{NOT_THERE}"), ("DELETE", f"/files/{NOT_THERE}")],
    "files:download": [("GET", f"/files/{NOT_THERE}/content")],
    "account": [("POST", "/auth/logout"), ("POST", "/tokens"), ("GET", "/tokens"), ("DELETE", f"/tokens/{NOT_THERE}")],
}


@pytest.mark.parametrize("permission", EVERYTHING)
def test_a_token_is_good_for_what_it_names_and_for_nothing_else(
    portal: Served, analyst: httpx.Client, permission: str
) -> None:
    with script(portal, make(analyst, permission)["token"]) as client:
        for needed, routes in ROUTES.items():
            for method, path in routes:
                answer = client.request(method, path, headers={"If-Match": "*"})
                refused = answer.status_code == 403 and problem(answer) == (403, "insufficient_scope")
                assert refused is (needed != permission), (needed, method, path, answer.text)


def test_a_token_that_was_revoked_is_over_and_takes_its_download_with_it(portal: Served, analyst: httpx.Client) -> None:
    big = analyst.put("/upload/big.bin", content=secrets.token_bytes(SIZE)).json()["id"]
    made = make(analyst)
    with Wire(portal.port, receive_buffer=1 << 14) as wire:
        wire.send(head("GET", f"/api/v1/files/{big}/content", f"X-API-Token: {made['token']}"))
        assert wire.gather(1)
        assert analyst.delete(f"/tokens/{made['id']}").status_code == 204
        came = 0
        while wire.gather(PIECE):  # it would take five seconds to the end
            came += len(wire.read(PIECE))
            time.sleep(PIECE / SIZE * 5)
    assert came < SIZE
    assert eventually(lambda: outcomes(portal, big) == ["revoked"])
    with script(portal, made["token"]) as client:
        assert problem(client.get("/files")) == (401, "not_signed_in")
    (token,) = [token for token in analyst.get("/tokens").json()["items"] if token["id"] == made["id"]]
    assert token["revoked_at"] is not None
    assert "token" not in token


def test_it_takes_the_download_of_a_reader_that_reads_nothing_too(portal: Served, analyst: httpx.Client) -> None:
    """Nothing waits for such a reader: neither the next judgement, nor what the portal and the kernel hold for it."""
    big = analyst.put("/upload/big.bin", content=secrets.token_bytes(SIZE)).json()["id"]
    made = make(analyst)
    with Wire(portal.port, receive_buffer=1 << 14) as wire:
        wire.send(head("GET", f"/api/v1/files/{big}/content", f"X-API-Token: {made['token']}"))
        assert wire.gather(1)
        assert analyst.delete(f"/tokens/{made['id']}").status_code == 204
        assert eventually(lambda: outcomes(portal, big) == ["revoked"])
        assert len(wire.rest()) < 1 << 20


def test_a_token_is_bound_to_its_networks(portal: Served, analyst: httpx.Client) -> None:
    with script(portal, make(analyst, networks=["192.0.2.0/24"])["token"]) as client:
        assert problem(client.get("/files")) == (401, "not_signed_in")
    with script(portal, make(analyst, networks=["127.0.0.0/8", "::1/128"])["token"]) as client:
        assert client.get("/files").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"permissions": []},
        {"permissions": ["files:everything"]},
        {"permissions": ["account"]},
        {"expires_in_hours": 0},
        {"expires_in_hours": 8808},
        {"expires_in_hours": "30"},
        {"networks": ["192.0.2.1/24"]},
        {"networks": ["everywhere"]},
        {"networks": [False]},
        {"networks": [7]},
        {"name": ""},
        {"name": " \u200b"},
        {"name": "a\x00b"},
        {"owner_id": NOT_THERE},
        {"user_id": NOT_THERE},
        {"role": "admin"},
    ],
    ids=str,
)
def test_what_no_token_can_be_made_of(analyst: httpx.Client, change: dict[str, Any]) -> None:
    before = len(analyst.get("/tokens").json()["items"])
    answer = analyst.post("/tokens", json={"name": "a script", "permissions": EVERYTHING, **change})
    assert answer.status_code == 422, answer.text
    assert len(analyst.get("/tokens").json()["items"]) == before


def test_two_different_credentials_at_once_are_refused_and_told_what_to_do(
    portal: Served, analyst: httpx.Client
) -> None:
    token = make(analyst)["token"]
    with script(portal, token) as client:
        for answer in (
            analyst.get("/files", headers={"X-API-Token": token}),
            client.get("/files", headers={"Authorization": "Bearer made.up.one"}),
            client.get("/files", headers={"Authorization": f"Bearer {token} "[:-2] + "x"}),
        ):
            assert problem(answer) == (400, "invalid_input")
            assert "send one of the two" in answer.json()["detail"]
            assert token not in answer.text


def test_one_credential_in_both_headers_is_one(portal: Served, analyst: httpx.Client) -> None:
    """As generated clients send it that fill in every security scheme of an operation."""
    token = make(analyst)["token"]
    with script(portal, token) as client:
        assert client.get("/files", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    session = analyst.headers["Authorization"].removeprefix("Bearer ")
    assert analyst.get("/files", headers={"X-API-Token": session}).status_code == 200


def test_a_token_that_lacks_a_permission_is_told_which(portal: Served, analyst: httpx.Client) -> None:
    made = analyst.post("/tokens", json={"name": "a script", "permissions": ["files:upload"]}).json()
    with script(portal, made["token"]) as client:
        answer = client.get("/files")
    assert problem(answer) == (403, "insufficient_scope")
    assert "files:read" in answer.json()["detail"]
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("192.0.2.7/24", "host bits are set: write 192.0.2.0/24"),
        ("2001:db8::1/32", "host bits are set: write 2001:db8::/32"),
        ("home", "is not a network: write it as 192.0.2.0/24 or 2001:db8::/32"),
        ("fe80::1%<script>", "is not a network: write it as 192.0.2.0/24 or 2001:db8::/32"),
        (0, "write the network as text: 192.0.2.0/24"),
    ],
)
def test_a_network_that_is_none_is_told_how_to_write_it(analyst: httpx.Client, network: object, message: str) -> None:
    given = {"name": "a script", "permissions": ["files:upload"], "networks": ["192.0.2.0/24", network]}
    answer = analyst.post("/tokens", json=given)
    assert answer.json()["errors"] == [{"in": "body", "name": "networks.1", "message": message}]


def test_the_secret_reaches_neither_log_nor_record(portal: Served, analyst: httpx.Client) -> None:
    token = make(analyst)["token"]
    with script(portal, token) as client:
        client.get("/files")
        client.get(f"/files/{token}")
    assert token not in str(portal.audit())
    log = "\n".join(line for line in portal.log.splitlines() if f"/files/{token}" not in line)
    assert token not in log
