"""Reads with conditions, and HEAD wherever there is GET: what RFC 9110 §13.2.2 says, for content and for entries."""

import secrets
from typing import Any

import httpx
import pytest

from .conftest import Served
from .raw import Wire, bearer, head
from .seen import events, problem

CONTENT = bytes(range(256)) * 8


@pytest.fixture(scope="module")
def entry(portal: Served) -> dict[str, Any]:
    with portal.client("analyst") as client:
        created: dict[str, Any] = client.put("/upload/conditional.bin", content=CONTENT).json()
    return created


RIGHT, OTHER = "@TAG@", '"other"'
CONDITIONS: dict[str, tuple[dict[str, str], int]] = {
    "the version that the client has": ({"If-None-Match": RIGHT}, 304),
    "among others, weak": ({"If-None-Match": f'{OTHER}, W/{RIGHT},"x"'}, 304),
    "any": ({"If-None-Match": "*"}, 304),
    "another version": ({"If-None-Match": OTHER}, 200),
    "an empty one (curl --etag-compare, at first)": ({"If-None-Match": '""'}, 200),
    "no tag at all": ({"If-None-Match": "nonsense"}, 200),
    "the version that it wants": ({"If-Match": RIGHT}, 200),
    "any version": ({"If-Match": "*"}, 200),
    "one of several": ({"If-Match": f"{OTHER}, {RIGHT}"}, 200),
    "a version that is not there": ({"If-Match": OTHER}, 412),
    "a weak tag, which is never strong enough": ({"If-Match": f"W/{RIGHT}"}, 412),
    "nothing": ({"If-Match": ""}, 412),
    "first If-Match": ({"If-Match": OTHER, "If-None-Match": RIGHT}, 412),
    "then If-None-Match": ({"If-Match": RIGHT, "If-None-Match": RIGHT}, 304),
    "a time, which no file has": ({"If-Modified-Since": "Sun, 29 Nov 2099 00:00:00 GMT"}, 200),
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("target", ["/content", ""], ids=["content", "entry"])
@pytest.mark.parametrize(("told", "status"), CONDITIONS.values(), ids=CONDITIONS)
def test_a_read_is_answered_as_its_conditions_say(
    analyst: httpx.Client, entry: dict[str, Any], method: str, target: str, told: dict[str, str], status: int
) -> None:
    tag = f'"{entry["sha256"]}"' if target else '"1"'
    headers = {name: value.replace(RIGHT, tag) for name, value in told.items()}
    answer = analyst.request(method, f"/files/{entry['id']}{target}", headers=headers)
    assert answer.status_code == status
    if status != 412:
        assert answer.headers["etag"] == tag
    if method == "HEAD" or status == 304:
        assert answer.content == b""
    elif status == 412:
        assert problem(answer) == (412, "precondition_failed")
    if status == 304:
        assert {"content-length", "content-type"}.isdisjoint(answer.headers)


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"If-None-Match": RIGHT, "Range": "bytes=0-1"}, 304),
        ({"If-Match": OTHER, "Range": "bytes=0-1"}, 412),
        ({"If-Match": RIGHT, "Range": "bytes=0-1"}, 206),
        ({"If-None-Match": OTHER, "Range": "bytes=0-1", "If-Range": OTHER}, 200),
        ({"If-None-Match": OTHER, "Range": "bytes=0-1", "If-Range": RIGHT}, 206),
        ({"If-None-Match": RIGHT, "Range": "bytes=9999-"}, 304),
        ({"If-Match": OTHER, "Range": "bytes=9999-"}, 412),
        ({"If-None-Match": OTHER, "Range": "bytes=9999-"}, 416),
    ],
)
def test_a_range_is_looked_at_when_the_conditions_hold(
    analyst: httpx.Client, entry: dict[str, Any], told: dict[str, str], status: int
) -> None:
    headers = {name: value.replace(RIGHT, f'"{entry["sha256"]}"') for name, value in told.items()}
    assert analyst.get(f"/files/{entry['id']}/content", headers=headers).status_code == status


def test_what_the_client_has_is_no_download(portal: Served, analyst: httpx.Client) -> None:
    created = analyst.put(f"/upload/{secrets.token_hex(8)}", content=CONTENT).json()
    before = events(portal, created["id"])
    has = {"If-None-Match": f'"{created["sha256"]}"'}
    with Wire(portal.port) as wire:  # and the connection goes on behind it
        for _ in range(2):
            target = f"/api/v1/files/{created['id']}/content"
            wire.send(head("GET", target, bearer(analyst), f"If-None-Match: {has['If-None-Match']}"))
            assert wire.answer(to="HEAD").status_code == 304
    assert events(portal, created["id"]) == before


def test_a_link_is_not_used_up_by_what_its_holder_has(portal: Served, analyst: httpx.Client) -> None:
    created = analyst.put("/upload/a.bin", content=CONTENT).json()
    link = analyst.post("/links/download", json={"file_ids": [created["id"]], "max_uses": 1}).json()
    token = httpx.post(f"{portal.url}/api/v1/links/redeem", json={"secret": link["secret"]}).json()["token"]
    target = f"{portal.url}/api/v1/shared/files/{created['id']}/content"
    holder, tag = {"Authorization": f"Bearer {token}"}, f'"{created["sha256"]}"'
    for told, status in (({"If-None-Match": tag}, 304), ({"If-Match": OTHER}, 412), ({}, 200), ({}, 409)):
        assert httpx.get(target, headers=holder | told).status_code == status


def test_a_stranger_learns_nothing_by_conditions(portal: Served, entry: dict[str, Any]) -> None:
    with portal.client("other") as other:
        for target in ("/content", ""):
            for told in ({"If-None-Match": "*"}, {"If-Match": OTHER}):
                answer = other.get(f"/files/{entry['id']}{target}", headers=told)
                assert problem(answer) == (404, "not_found")


@pytest.mark.parametrize(
    "path",
    [
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs",
        *(f"/api/v1{path}" for path in ("/files", "/users/me", "/cases")),
    ],
)
def test_head_is_what_get_is_without_its_body(portal: Served, analyst: httpx.Client, path: str) -> None:
    with Wire(portal.port) as wire:
        wire.send(head("HEAD", path, bearer(analyst)))
        only_head = wire.answer(to="HEAD")
        wire.send(head("GET", path, bearer(analyst)))
        whole = wire.answer()
    assert (only_head.status_code, only_head.content) == (200, b"")
    assert only_head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))
    assert only_head.headers["content-type"] == whole.headers["content-type"]


def test_head_of_what_cannot_be_read_is_refused_as_get_is(portal: Served, analyst: httpx.Client) -> None:
    for path, status in (("/files/x", 404), ("/upload/x", 405), ("/nothing", 404)):
        assert analyst.head(path).status_code == analyst.get(path).status_code == status
    assert httpx.head(f"{portal.url}/api/v1/files").status_code == 401
    assert "HEAD" in analyst.delete("/files").headers["allow"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_under_any_host(portal: Served, path: str) -> None:
    """A probe of an orchestrator asks by the address of the pod."""
    for host, status in (("10.1.2.3:8000", 200), ("portal.internal", 200), ("a b", 400)):
        with Wire(portal.port) as wire:
            wire.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert wire.answer().status_code == status
