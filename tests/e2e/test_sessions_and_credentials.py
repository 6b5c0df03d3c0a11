"""Sessions and what outlives them, on a real server: a fresh sign-in, an end to everything, time that is up."""

import contextlib
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import PASSWORD, Served, running
from .seen import eventually, problem, statuses

ANY = {"If-Match": "*"}
DAY, WEEK = {"expires_in_hours": 12}, {"expires_in_hours": 168}
TOKEN = {"name": "a script", "permissions": ["files:read", "files:upload", "files:download"]}
STALE = "UPDATE sessions SET proved_at = datetime(proved_at, '-16 minutes')"
OVER = "UPDATE sessions SET expires_at = created_at"


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    accounts = {
        "eli": "analyst",
        "fay": "analyst",
        "ana": "analyst",
        "ben": "analyst",
        "cy": "analyst",
        "dan": "uploader",
        "eve": "uploader",
        "adm": "admin",
    }
    with running(tmp_path_factory.mktemp("credentials") / "portal", {}, **accounts) as made:
        yield made


def sql(portal: Served, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(portal.folder / "var" / "portal.db", timeout=30)) as connection:
        assert connection.execute(statement).rowcount > 0
        connection.commit()


def done(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def holding(portal: Served, credential: str) -> httpx.Client:
    return httpx.Client(base_url=f"{portal.url}/api/v1", headers={"Authorization": f"Bearer {credential}"}, timeout=60)


ASKS: list[tuple[str, str, str, Any]] = [
    ("ana", "POST", "/tokens", TOKEN),
    ("ana", "POST", "/links/upload", WEEK),
    ("adm", "POST", "/users", {"name": "new", "role": "admin"}),
    ("adm", "POST", "/invitations", {"role": "admin"}),
    ("adm", "POST", "/users/{eve}/reset-password", None),
    ("adm", "POST", "/users/{eve}/reset-totp", None),
    ("adm", "PATCH", "/users/{eve}", {"role": "admin"}),
    ("adm", "PATCH", "/users/{eve}", {"disabled": False}),
    ("adm", "POST", "/users/{eve}/transfer", {"to": "ana"}),
]
OTHERWISE = {"totp_not_enrolled", "inbox_in_use"}  # what else is in the way of who is fresh


@pytest.mark.parametrize(("who", "method", "path", "body"), ASKS, ids=[f"{m} {p} {b}"[:50] for _, m, p, b in ASKS])
def test_what_outlives_a_session_asks_for_a_fresh_one(
    portal: Served, who: str, method: str, path: str, body: Any
) -> None:
    with portal.client(who) as client, portal.client("adm") as admin:
        users = {each["name"]: each["id"] for each in done(admin.get("/users"))["items"]}
        path = path.format(eve=users["eve"])  # who is reset, and signs in no more
        sql(portal, STALE)
        sent = {"json": body} if body is not None else {}
        stale = client.request(method, path, headers=ANY, **sent)
        assert problem(stale) == (403, "fresh_sign_in_required")
        assert "/auth/confirm" in stale.json()["detail"]
        assert problem(client.post("/auth/confirm", json={"password": "not that one"})) == (400, "invalid_grant")
        assert problem(client.request(method, path, headers=ANY, **sent)) == (403, "fresh_sign_in_required")
        done(client.post("/auth/confirm", json={"password": PASSWORD}))
        fresh = client.request(method, path, headers=ANY, **sent)
        assert fresh.is_success or problem(fresh)[1] in OTHERWISE


def test_what_ends_things_or_is_short_asks_for_none(portal: Served) -> None:
    with portal.client("ana") as ana, portal.client("adm") as admin, portal.client("cy") as cy:
        user_id = cy.get("/users/me").json()["id"]
        sql(portal, STALE)
        done(ana.post("/links/upload", json=DAY))
        done(admin.post(f"/users/{user_id}/logout"))
        done(admin.post(f"/users/{user_id}/revoke-all"))
        done(admin.patch(f"/users/{user_id}", json={"disabled": True}, headers=ANY))


def test_a_refresh_makes_no_session_fresh(portal: Served) -> None:
    form = {"grant_type": "password", "username": "ana", "password": PASSWORD}
    pair = done(httpx.post(f"{portal.url}/api/v1/auth/token", data=form))
    sql(portal, STALE)
    form = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    again = done(httpx.post(f"{portal.url}/api/v1/auth/token", data=form))
    with holding(portal, again["access_token"]) as client:
        assert problem(client.post("/tokens", json=TOKEN)) == (403, "fresh_sign_in_required")


@pytest.mark.parametrize("by", ["owner", "administrator", "password", "command line"])
def test_everything_of_an_account_ends_at_once(portal: Served, by: str) -> None:
    with portal.client("ben") as ben, portal.client("adm") as admin:
        me, file = ben.get("/users/me").json()["id"], done(ben.put("/upload/a.bin", content=b"a"))["id"]
        case = done(ben.post("/cases", json={"title": "t"}))["id"]
        token = done(ben.post("/tokens", json={**TOKEN, "case_id": case}))["token"]
        link = done(ben.post("/links/download", json={"file_ids": [file], **WEEK}))["secret"]
        done(ben.post(f"/files/{file}/grants", json={"user_name": "ana"}))
        new = {"current_password": PASSWORD, "new_password": PASSWORD, "revoke_all": True}
        acts: dict[str, Callable[[], Any]] = {
            "owner": lambda: done(ben.post("/auth/revoke-all")),
            "administrator": lambda: done(admin.post(f"/users/{me}/revoke-all")),
            "password": lambda: done(ben.post("/users/me/password", json=new)),
            "command line": lambda: portal.cli("users", "logout", "ben", "--everything"),
        }
        acts[by]()
        assert ben.get("/users/me").status_code == (200 if by == "password" else 401)
    with holding(portal, token) as script:
        assert script.get("/files").status_code == 401
    redeemed = httpx.post(f"{portal.url}/api/v1/links/redeem", json={"secret": link})
    assert problem(redeemed) == (403, "link_refused")
    with portal.client("ana") as ana:
        assert ana.get(f"/files/{file}").status_code == 404
    (event,) = [e for e in portal.audit() if e["event"] == "user.everything_revoked" and e["subject"] == me][-1:]
    counts = {kind: event["details"][kind] for kind in ("api_tokens", "links", "grants")}
    assert counts == {"api_tokens": 1, "links": 1, "grants": 1}


@pytest.mark.parametrize(("who", "keep"), [("eli", False), ("fay", True)])
def test_a_reset_ends_what_a_thief_made_unless_it_is_told_not_to(portal: Served, who: str, *, keep: bool) -> None:
    with portal.client(who) as thief, portal.client("adm") as admin:
        me = thief.get("/users/me").json()["id"]
        token = done(thief.post("/tokens", json=TOKEN))["token"]
        link = done(thief.post("/links/upload", json=WEEK))["secret"]
        done(admin.post(f"/users/{me}/reset-password", params={"revoke_all": "false"} if keep else {}))
        assert thief.get("/users/me").status_code == 401
    with holding(portal, token) as script:
        assert script.get("/files").status_code == (200 if keep else 401)
    redeemed = httpx.post(f"{portal.url}/api/v1/links/redeem", json={"secret": link})
    assert redeemed.status_code == (200 if keep else 403)


@pytest.mark.parametrize("change", [{"disabled": True}, {"role": "auditor"}], ids=str)
def test_what_an_account_lost_does_not_come_back(portal: Served, change: dict[str, Any]) -> None:
    with portal.client("ben") as ben, portal.client("adm") as admin:
        me = ben.get("/users/me").json()["id"]
        token = done(ben.post("/tokens", json=TOKEN))["token"]
        link = done(ben.post("/links/upload", json=WEEK))["secret"]
        done(admin.patch(f"/users/{me}", json=change, headers=ANY))
        done(admin.patch(f"/users/{me}", json={"disabled": False, "role": "analyst"}, headers=ANY))
    with holding(portal, token) as script:
        assert script.get("/files").status_code == 401
    assert httpx.post(f"{portal.url}/api/v1/links/redeem", json={"secret": link}).status_code == 403


def test_a_session_is_listed_and_ended_by_itself(portal: Served) -> None:
    with portal.client("ana") as here, portal.client("ana") as there, portal.client("dan") as dan:
        mine = done(there.get("/sessions", params={"limit": 1}))
        assert [each["current"] for each in mine["items"]] == [True]
        assert mine["items"][0]["address"] == "127.0.0.1"
        assert mine["items"][0]["user_agent"].startswith("python-httpx/")
        assert mine["next_cursor"] is not None
        ended = f"/sessions/{mine['items'][0]['id']}"
        assert problem(dan.delete(ended)) == (404, "not_found")
        assert here.delete(ended).status_code == here.delete(ended).status_code == 204
        assert there.get("/users/me").status_code == 401
        assert here.get("/users/me").status_code == 200
        ids = [each["id"] for each in done(here.get("/sessions", params={"limit": 200}))["items"]]
        assert mine["items"][0]["id"] not in ids


class Held:
    """An upload that has begun, and waits before its last byte."""

    def __init__(self, portal: Served, client: httpx.Client) -> None:
        self._name = f"{secrets.token_hex(8)}.img"
        self._go, self._answers = threading.Event(), list[httpx.Response]()
        self._thread = threading.Thread(target=self._send, args=(client,))
        self._thread.start()
        assert eventually(lambda: statuses(portal, self._name) == ["pending"], seconds=60)

    def _body(self) -> Iterator[bytes]:
        yield b"a" * (2 << 20)
        self._go.wait(60)
        yield b"b"

    def _send(self, client: httpx.Client) -> None:
        self._answers.append(client.put(f"/upload/{self._name}", content=self._body()))

    def finish(self) -> httpx.Response:
        self._go.set()
        self._thread.join()
        return self._answers[0]


def test_an_upload_survives_a_refresh_that_was_sent_twice(portal: Served) -> None:
    form = {"grant_type": "password", "username": "ana", "password": PASSWORD}
    pair = done(httpx.post(f"{portal.url}/api/v1/auth/token", data=form))
    form = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    with holding(portal, pair["access_token"]) as client:
        upload = Held(portal, client)
        for _ in range(2):
            done(httpx.post(f"{portal.url}/api/v1/auth/token", data=form))
        assert upload.finish().status_code == 201


def test_an_upload_that_began_in_time_may_end_after_its_session(portal: Served) -> None:
    with portal.client("ana") as client:
        upload = Held(portal, client)
        sql(portal, OVER)
        assert client.get("/users/me").status_code == 401
        assert upload.finish().status_code == 201


def test_an_upload_of_a_session_that_was_ended_is_not_kept(portal: Served) -> None:
    with portal.client("ana") as client, portal.client("ana") as elsewhere:
        upload = Held(portal, client)
        (mine,) = [each["id"] for each in done(client.get("/sessions"))["items"] if each["current"]]
        done(elsewhere.delete(f"/sessions/{mine}"))
        assert problem(upload.finish()) == (401, "not_signed_in")


def test_the_only_administrator_does_not_reset_their_own_password(tmp_path: Path) -> None:
    with running(tmp_path / "portal", {}, adm="admin") as portal, portal.client("adm") as admin:
        me = admin.get("/users/me").json()["id"]
        assert problem(admin.post(f"/users/{me}/reset-password")) == (409, "last_administrator")
        assert admin.get("/users/me").status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"case_id": "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d"}, 404, "not_found"),
        ({"networks": []}, 422, "validation_failed"),
    ],
    ids=str,
)
def test_a_token_for_nothing_is_not_made(portal: Served, body: dict[str, Any], status: int, code: str) -> None:
    with portal.client("ana") as ana:
        assert problem(ana.post("/tokens", json={**TOKEN, **body})) == (status, code)


def test_a_network_of_mapped_addresses_is_one_of_ipv4(portal: Served) -> None:
    with portal.client("ana") as ana:
        made = done(ana.post("/tokens", json={**TOKEN, "networks": ["::ffff:127.0.0.0/104"]}))
    assert made["networks"] == ["127.0.0.0/8"]
    with holding(portal, made["token"]) as script:
        assert script.get("/files").status_code == 200


def test_a_tokens_requests_are_counted_by_themselves(tmp_path: Path) -> None:
    settings = {"RATE_LIMITS": "change=5/day,read=off,sign_in=off"}
    with running(tmp_path / "portal", settings, ana="analyst") as portal, portal.client("ana") as ana:
        made = done(ana.post("/tokens", json=TOKEN))
        with holding(portal, made["token"]) as script:
            answers = [script.post("/auth/logout-all").status_code for _ in range(8)]
        assert answers == [403] * 5 + [429] * 3
        assert ana.delete(f"/tokens/{made['id']}").status_code == 204


def test_the_authenticator_that_administrators_need_holds_for_their_tokens(tmp_path: Path) -> None:
    folder = tmp_path / "portal"
    with running(folder, {}, adm="admin") as portal, portal.client("adm") as admin:
        made = done(admin.post("/tokens", json=TOKEN))
        portal.stop()
        portal.environment["PORTAL_REQUIRE_ADMIN_TOTP"] = "true"
        portal.start()
        with holding(portal, made["token"]) as script:
            assert problem(script.get("/files")) == (403, "totp_enrolment_required")


def test_promotion_makes_no_old_token_an_administrators(portal: Served) -> None:
    with portal.client("ben") as ben, portal.client("adm") as admin:
        me = ben.get("/users/me").json()["id"]
        token = done(ben.post("/tokens", json=TOKEN))["token"]
        done(admin.patch(f"/users/{me}", json={"role": "admin"}, headers=ANY))
        with holding(portal, token) as script:
            assert problem(script.get("/files")) == (401, "not_signed_in")
        done(admin.patch(f"/users/{me}", json={"role": "analyst"}, headers=ANY))


def test_lists_of_tokens_have_pages(portal: Served) -> None:
    with portal.client("ana") as ana:
        made = [done(ana.post("/tokens", json=TOKEN))["id"] for _ in range(3)]
        first = done(ana.get("/tokens", params={"limit": 2}))
        rest = done(ana.get("/tokens", params={"limit": 200, "cursor": first["next_cursor"]}))
        assert [each["id"] for each in first["items"]] == made[:0:-1]
        assert rest["items"][0]["id"] == made[0]
