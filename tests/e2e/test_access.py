"""Who may do what with a file of the analyst's: every role by every way to it."""

import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from .conftest import Served
from .raw import FORM, Wire, bearer, head, length
from .seen import eventually, outcomes, problem

ACTIONS = ("read", "download", "head", "change", "delete", "list")
TABLE = {
    #             read  download  head  change  delete  list
    "anonymous": (401, 401, 401, 401, 401, 401),
    "analyst": (200, 200, 200, 200, 204, "seen"),
    "other": (404, 404, 404, 404, 404, "unseen"),
    "uploader": (404, 404, 404, 404, 404, "unseen"),
    "auditor": (200, 403, 403, 403, 403, "seen"),
    "admin": (200, 403, 403, 200, 204, "seen"),
}
CELLS = [(role, action, answer) for role, row in TABLE.items() for action, answer in zip(ACTIONS, row, strict=True)]
CODES = {401: "not_signed_in", 403: "forbidden", 404: "not_found"}
ANY = {"If-Match": "*"}


@contextmanager
def caller(portal: Served, role: str) -> Iterator[httpx.Client]:
    if role == "anonymous":
        with httpx.Client(base_url=f"{portal.url}/api/v1", timeout=60) as nobody:
            yield nobody
    else:
        with portal.client(role) as client:
            yield client


def ask(client: httpx.Client, action: str, entry: dict[str, Any]) -> httpx.Response:
    path = f"/files/{entry['id']}"
    match action:
        case "read":
            return client.get(path)
        case "download":
            return client.get(f"{path}/content")
        case "head":
            return client.head(f"{path}/content")
        case "change":
            return client.patch(path, json={"description": "seen"}, headers=ANY)
        case "delete":
            return client.delete(path, headers=ANY)
        case _:
            return client.get("/files", params={"name": entry["name"]})


def hand_in(client: httpx.Client) -> dict[str, Any]:
    entry: dict[str, Any] = client.put(f"/upload/{secrets.token_hex(8)}", content=b"the analyst's").json()
    return entry


@pytest.mark.parametrize(("role", "action", "expected"), CELLS, ids=[f"{role} {action}" for role, action, _ in CELLS])
def test_the_table_holds(portal: Served, analyst: httpx.Client, role: str, action: str, expected: int | str) -> None:
    entry = hand_in(analyst)
    with caller(portal, role) as client:
        answer = ask(client, action, entry)
    if isinstance(expected, str):
        assert answer.status_code == 200
        assert [item["id"] for item in answer.json()["items"]] == ([entry["id"]] if expected == "seen" else [])
        return
    assert answer.status_code == expected
    if expected in CODES and action != "head":
        assert problem(answer) == (expected, CODES[expected])
    assert (expected == 401) == answer.headers.get("www-authenticate", "").startswith("Bearer")
    if expected >= 400:
        assert b"the analyst's" not in answer.content
        assert {"etag", "repr-digest", "content-disposition"}.isdisjoint(answer.headers)
        assert analyst.get(f"/files/{entry['id']}").json() == entry


def test_an_admin_changes_what_belongs_to_others_and_it_stays_theirs(portal: Served, analyst: httpx.Client) -> None:
    entry = hand_in(analyst)
    with portal.client("admin") as admin:
        changed = ask(admin, "change", entry).json()
        me = admin.get("/users/me").json()
    assert changed == entry | {"description": "seen", "version": 2}
    (event,) = [e for e in portal.audit() if e["event"] == "file.updated" and e["subject"] == entry["id"]]
    assert event["actor"] == f"user:{me['id']}"


def test_an_admin_reads_what_they_handed_in_themselves(portal: Served) -> None:
    with portal.client("admin") as admin:
        assert ask(admin, "download", hand_in(admin)).content == b"the analyst's"


def test_what_was_refused_is_not_on_record_as_a_download(portal: Served, analyst: httpx.Client) -> None:
    entry = hand_in(analyst)
    for role in ("admin", "auditor", "other"):
        with caller(portal, role) as client:
            assert ask(client, "download", entry).status_code in {403, 404}
    assert ask(analyst, "download", entry).status_code == 200
    assert eventually(lambda: outcomes(portal, entry["id"]) == ["finished"])


@pytest.mark.parametrize("action", ["read", "download", "head", "change", "delete"])
def test_an_id_that_nobody_has_looks_like_one_of_others(portal: Served, analyst: httpx.Client, action: str) -> None:
    with portal.client("other") as other:
        theirs = ask(other, action, hand_in(analyst))
        nobodys = ask(other, action, {"id": str(uuid.uuid4())})
    assert (theirs.status_code, nobodys.status_code) == (404, 404)
    if action != "head":
        bodies = [answer.json() | {"request_id": ""} for answer in (theirs, nobodys)]
        assert bodies[0] == bodies[1]


@pytest.mark.parametrize("action", ["read", "download", "head", "change", "delete"])
@pytest.mark.parametrize("file_id", ["1", "x" * 36, "' OR 1=1", "..%2f..%2fetc", "0" * 31, "{}"])
def test_an_id_that_is_none_is_refused(analyst: httpx.Client, action: str, file_id: str) -> None:
    assert ask(analyst, action, {"id": file_id}).status_code in {404, 422}


def test_anonymous_callers_learn_nothing_from_an_id(portal: Served, analyst: httpx.Client) -> None:
    with caller(portal, "anonymous") as nobody:
        answers = [ask(nobody, "read", entry) for entry in (hand_in(analyst), {"id": str(uuid.uuid4())})]
    assert [problem(answer) for answer in answers] == [(401, "not_signed_in")] * 2


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_an_anonymous_change_without_a_version_is_not_signed_in(
    portal: Served, analyst: httpx.Client, method: str
) -> None:
    entry = analyst.put(f"/upload/{secrets.token_hex(8)}", content=b"x").json()
    body = b'{"kind": "log"}' if method == "PATCH" else b""
    headers = {"Content-Type": "application/json"}
    url = f"{portal.url}/api/v1/files/{entry['id']}"
    assert problem(httpx.request(method, url, content=body, headers=headers)) == (401, "not_signed_in")


def test_an_anonymous_change_is_not_read(portal: Served) -> None:
    url = f"{portal.url}/api/v1/files/{'0' * 32}"
    headers = {"If-Match": "*", "Content-Type": "application/json"}
    assert problem(httpx.patch(url, content=b"{", headers=headers)) == (401, "not_signed_in")


def test_an_auditor_is_refused_before_the_form_is_read(portal: Served) -> None:
    with portal.client("auditor") as auditor, Wire(portal.port) as wire:
        wire.send(head("POST", "/api/v1/files", bearer(auditor), FORM, length(10_000_000), "Expect: 100-continue"))
        assert problem(wire.answer()) == (403, "forbidden")
        assert wire.ended()
