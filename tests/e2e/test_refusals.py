"""Every refusal is in the audit log with who, where, what and why: the tries of an insider, on a real server."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import Served, running
from .matrix_world import ANY, done
from .seen import eventually, rows

ACCOUNTS = {"ana": "analyst", "eve": "analyst", "adm": "admin"}


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running(Path(tmp_path_factory.mktemp("refusals")), {}, **ACCOUNTS) as made:
        yield made


def refused(portal: Served, **said: Any) -> list[dict[str, Any]]:
    """The rows of refusals whose events say so, details included."""
    found = rows(portal, "SELECT body FROM audit WHERE event = 'access.refused' ORDER BY seq")
    events = [json.loads(body) for (body,) in found]
    flat = [{**event["details"], **event} for event in events]
    return [event for event in flat if said.items() <= event.items()]


def test_nine_tries_of_an_insider_are_on_record(portal: Served) -> None:
    with portal.client("ana") as ana, portal.client("eve") as eve, portal.client("adm") as adm:
        me = done(eve.get("/users/me"))["id"]
        case = done(ana.post("/cases", json={"title": "a case"}))["id"]
        file = done(ana.put("/upload/x", content=b"x"))["id"]
        held = done(ana.put("/upload/x", content=b"x", params={"case_id": case}))["id"]
        token = done(eve.post("/tokens", json={"name": "t", "permissions": ["files:upload"]}))
        scripts = httpx.Client(base_url=eve.base_url, headers={"X-API-Token": token["token"]})
        by_token = f"user:{me}/token:{token['id']}"
        boss = f"user:{done(adm.get('/users/me'))['id']}"
        tries = [
            (eve.get(f"/files/{file}/content"), "files.download", "not_found", file),
            (eve.get(f"/files/{file}"), "files.read", "not_found", file),
            (eve.delete(f"/files/{file}", headers=ANY), "files.delete", "not_found", file),
            (eve.get(f"/cases/{case}"), "cases.read", "not_found", case),
            (eve.put("/upload/x", content=b"x", params={"case_id": case}), "files.create", "not_found", case),
            (eve.patch(f"/users/{me}", json={"role": "admin"}, headers=ANY), "users.manage", "forbidden", me),
            (eve.get("/users"), "users.manage", "forbidden", None),
            (adm.get(f"/files/{held}/content"), "files.download", "forbidden", held),
            (scripts.get(f"/files/{file}/content"), "download_file", "insufficient_scope", file),
        ]
        scripts.close()
    actors = [f"user:{me}"] * 7 + [boss, by_token]
    for (answer, action, code, subject), actor in zip(tries, actors, strict=True):
        assert (answer.status_code, answer.json()["code"]) in {(403, code), (404, code)}
        said = {"actor": actor, "action": action, "code": code, "subject": subject, "address": "127.0.0.1"}
        assert eventually(lambda said=said: len(refused(portal, **said)) == 1), said  # type: ignore[misc]
        assert refused(portal, request_id=answer.headers["x-request-id"])


def test_what_is_not_there_is_no_refusal_and_a_made_up_credential_is_one(portal: Served) -> None:
    with portal.client("eve") as eve, httpx.Client(base_url=eve.base_url) as stranger:
        missing = eve.get("/files/0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d")
        no_credential = stranger.get("/files")
        made_up = f"prt_{secrets.token_hex(20)}"
        answers = [stranger.get("/files", headers={"X-API-Token": made_up}) for _ in range(5)]
    assert (missing.status_code, no_credential.status_code) == (404, 401)
    assert {answer.status_code for answer in answers} == {401}
    said = {"actor": "nobody", "action": "credentials.api_token", "code": "not_signed_in", "address": "127.0.0.1"}
    assert eventually(lambda: len(refused(portal, **said)) == 1)
    for unseen in (missing, no_credential):
        assert refused(portal, request_id=unseen.headers["x-request-id"]) == []
    assert made_up not in json.dumps(refused(portal))


def test_what_was_counted_is_written_when_the_portal_stops(tmp_path: Path) -> None:
    with running(tmp_path, {}, eve="analyst") as portal:
        with portal.client("eve") as eve:
            for _ in range(7):
                assert eve.get("/users").status_code == 403
        portal.stop()
        (counted,) = refused(portal, action="users.manage", more=6)
        assert counted["code"] == "forbidden"
