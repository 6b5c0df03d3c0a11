"""Accounts over HTTP, played through: made, changed, reset, invited, enrolled; and who may do none of it."""

import secrets
from typing import Any

import httpx
import pyotp
import pytest

from .conftest import PASSWORD, MakePortal, Served
from .raw import Wire, bearer, head
from .seen import eventually, outcomes, problem

NEW = "paper boat in winter"
NOBODY = "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d"


@pytest.fixture
def made(make_portal: MakePortal) -> Served:
    """A portal of this test's own, where the invited may register."""
    portal = make_portal(REGISTRATION="invite")
    portal.prepare(root="admin", ada="analyst")
    portal.start()
    return portal


def post(portal: Served, path: str, **body: Any) -> httpx.Response:
    """As nobody."""
    return httpx.post(f"{portal.url}/api/v1{path}", json=body, timeout=60)


def token(portal: Served, name: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    form = {"grant_type": "password", "username": name, "password": password, **more}
    return httpx.post(f"{portal.url}/api/v1/auth/token", data=form, timeout=60)


def as_holder(portal: Served, pair: dict[str, Any]) -> httpx.Client:
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    return httpx.Client(base_url=f"{portal.url}/api/v1", headers=headers, timeout=60)


def user_of(client: httpx.Client) -> dict[str, Any]:
    user: dict[str, Any] = client.get("/users/me").json()
    return user


def test_an_account_from_its_making_to_its_end(made: Served) -> None:
    with made.client("root") as root:
        created = root.post("/users", json={"name": "eve", "role": "uploader"})
        assert created.status_code == 201
        user, secret = created.json()["user"], created.json()["secret"]
        assert (user["role"], user["has_password"], user["disabled_at"]) == ("uploader", False, None)
        assert problem(token(made, "eve", "")) == (400, "invalid_grant")
        assert post(made, "/auth/password", secret=secret, password=PASSWORD).status_code == 204
        assert problem(post(made, "/auth/password", secret=secret, password=NEW)) == (403, "invitation_refused")
        with made.client("eve") as eve:
            read = root.get(f"/users/{user['id']}")
            assert read.json()["has_password"] is True
            tag = {"If-Match": read.headers["etag"]}
            changed = root.patch(f"/users/{user['id']}", json={"role": "auditor"}, headers=tag)
            assert (changed.status_code, changed.json()["role"]) == (200, "auditor")
            assert problem(eve.get("/users/me")) == (401, "not_signed_in")
            stale = root.patch(f"/users/{user['id']}", json={"disabled": True}, headers=tag)
            assert problem(stale) == (412, "precondition_failed")
        with made.client("eve") as eve:
            assert user_of(eve)["role"] == "auditor"
        disabled = root.patch(f"/users/{user['id']}", json={"disabled": True}, headers={"If-Match": "*"})
        assert disabled.json()["disabled_at"]
        assert problem(token(made, "eve")) == (400, "invalid_grant")
        listed = root.get("/users", params={"disabled": "true"}).json()
        assert [item["name"] for item in listed["items"]] == ["eve"]


def test_pages_of_accounts_are_followed_to_the_end_and_by_nobody_else(made: Served) -> None:
    with made.client("root") as root:
        for number in range(3):
            root.post("/users", json={"name": f"user-{number}", "role": "uploader"})
        first = root.get("/users", params={"limit": 2}).json()
        second = root.get("/users", params={"limit": 2, "cursor": first["next_cursor"]}).json()
        third = root.get("/users", params={"limit": 2, "cursor": second["next_cursor"]}).json()
        names = [item["name"] for page in (first, second, third) for item in page["items"]]
        assert sorted(names) == ["ada", "root", "user-0", "user-1", "user-2"]
        assert names[:3] == ["user-2", "user-1", "user-0"]
        assert third["next_cursor"] is None
        cursor = first["next_cursor"]
        for path, params in (("/users", {"role": "admin"}), ("/files", {})):
            assert problem(root.get(path, params=params | {"cursor": cursor})) == (400, "invalid_input")


@pytest.mark.parametrize("name", ["analyst", "uploader", "auditor"])
def test_nobody_but_an_administrator_runs_accounts(portal: Served, name: str) -> None:
    with portal.client(name) as client, portal.client("admin") as admin:
        me, boss = user_of(client)["id"], user_of(admin)["id"]
        answers = [
            client.post("/users", json={"name": "new", "role": "admin"}),
            client.get("/users"),
            client.post("/invitations", json={"role": "admin"}),
            client.get("/invitations"),
            client.delete(f"/invitations/{NOBODY}"),
        ]
        for user in (me, boss, NOBODY):
            answers += [
                client.get(f"/users/{user}"),
                client.patch(f"/users/{user}", json={"role": "admin"}, headers={"If-Match": "*"}),
                *(client.post(f"/users/{user}/{verb}") for verb in ("reset-password", "reset-totp", "logout")),
            ]
        assert [problem(answer) for answer in answers] == [(403, "forbidden")] * 20
        assert user_of(client)["role"] == name
        assert user_of(admin)["role"] == "admin"


MORE_THAN_ASKED = [
    ("/users", {"name": "eve", "role": "uploader", "password": PASSWORD}),
    ("/users", {"name": "eve", "role": "uploader", "id": NOBODY}),
    ("/users", {"name": "eve", "role": "root"}),
    ("/users", {"name": "eve"}),
    ("/users", {"name": ["eve"], "role": "uploader"}),
    ("/invitations", {"role": "admin", "expires_in_hours": 0}),
    ("/invitations", {"role": "admin", "expires_in_hours": "72"}),
    ("/invitations", {"role": "admin", "expires_in_hours": 721}),
    ("/invitations", {"role": "admin", "expires_at": "2099-01-01T00:00:00Z"}),
    ("/auth/register", {"name": "eve", "password": PASSWORD, "role": "admin"}),
    ("/auth/register", {"name": "eve", "password": PASSWORD, "is_admin": True}),
    ("/auth/register", {"name": "eve", "password": 123456789012}),
    ("/auth/register", {"name": "eve", "password": "x" * 1025}),
    ("/auth/password", {"secret": "x", "password": PASSWORD, "user_id": NOBODY}),
    ("/users/me/password", {"current_password": PASSWORD, "new_password": NEW, "name": "admin"}),
    ("/users/me/totp", {"password": PASSWORD, "secret": "JBSWY3DPEHPK3PXP"}),
    ("/users/me/totp/confirm", {"password": PASSWORD, "totp": 123456}),
]


@pytest.mark.parametrize(("path", "body"), MORE_THAN_ASKED, ids=range(len(MORE_THAN_ASKED)))
def test_what_is_not_the_clients_to_say_is_refused_and_not_echoed(
    portal: Served, path: str, body: dict[str, Any]
) -> None:
    with portal.client("admin") as admin:
        refused = admin.post(path, json=body)
    assert problem(refused) == (422, "validation_failed")
    assert PASSWORD not in refused.text
    assert "123456789012" not in refused.text


@pytest.mark.parametrize("body", [{"epoch": 7}, {"version": 7}, {"password_hash": "x"}, {"role": None, "name": "x"}])
def test_a_change_of_what_may_not_be_changed_is_refused(portal: Served, body: dict[str, Any]) -> None:
    with portal.client("admin") as admin:
        user = user_of(admin)["id"]
        refused = admin.patch(f"/users/{user}", json=body, headers={"If-Match": "*"})
        assert problem(refused) == (422, "validation_failed")
        missing = admin.patch(f"/users/{user}", json={"disabled": True})
        assert problem(missing) == (428, "precondition_required")
        last = admin.patch(f"/users/{user}", json={"disabled": True}, headers={"If-Match": "*"})
        assert problem(last) == (409, "last_administrator")


def test_the_invited_come_in_once(made: Served) -> None:
    assert problem(post(made, "/auth/register", name="eve", password=PASSWORD)) == (403, "invitation_refused")
    with made.client("root") as root:
        invitation = root.post("/invitations", json={"role": "auditor"}).json()
        (listed,) = root.get("/invitations").json()["items"]
        assert listed.keys() == {"id", "role", "created_by", "created_at", "expires_at"}
        assert (listed["id"], listed["created_by"]) == (invitation["id"], user_of(root)["id"])
        given = {"password": PASSWORD, "invitation": invitation["secret"]}
        assert problem(post(made, "/auth/register", name="ADA", **given)) == (409, "user_taken")
        registered = post(made, "/auth/register", name="eve", **given)
        assert (registered.status_code, registered.json()["role"]) == (201, "auditor")
        assert problem(post(made, "/auth/register", name="eva", **given)) == (403, "invitation_refused")
        assert root.get("/invitations").json()["items"] == []
        other = root.post("/invitations", json={"role": "admin", "expires_in_hours": 1}).json()
        assert root.delete(f"/invitations/{other['id']}").status_code == 204
        assert problem(root.delete(f"/invitations/{other['id']}")) == (404, "not_found")
    taken_back = post(made, "/auth/register", name="eva", password=PASSWORD, invitation=other["secret"])
    assert problem(taken_back) == (403, "invitation_refused")
    with made.client("eve") as eve:
        assert user_of(eve)["role"] == "auditor"


def test_nobody_registers_where_it_is_closed_which_is_the_default(portal: Served) -> None:
    for more in ({}, {"invitation": "pinv_" + "x" * 43}):
        refused = post(portal, "/auth/register", name="eve", password=PASSWORD, **more)
        assert problem(refused) == (403, "registration_closed")


def test_anybody_registers_as_an_uploader_where_it_is_open(make_portal: MakePortal) -> None:
    portal = make_portal(REGISTRATION="open")
    portal.prepare(root="admin")
    portal.start()
    weak = {"short": "password_length", "password1234": "password_guessable", "é" * 600: "password_length"}
    for password, code in weak.items():
        assert problem(post(portal, "/auth/register", name="eve", password=password)) == (422, code)
    assert post(portal, "/auth/register", name="eve", password=PASSWORD).json()["role"] == "uploader"
    assert problem(post(portal, "/auth/register", name="ROOT", password=PASSWORD)) == (409, "user_taken")
    with portal.client("eve") as eve:
        assert problem(eve.get("/users")) == (403, "forbidden")
        assert eve.put("/upload/x", content=b"x").status_code == 201


def test_a_changed_password_ends_other_sessions_and_no_session_survives_a_sign_out_everywhere(made: Served) -> None:
    with made.client("ada") as mine, made.client("ada") as other:
        wrong = mine.post("/users/me/password", json={"current_password": NEW, "new_password": NEW})
        assert problem(wrong) == (400, "invalid_grant")
        body = {"current_password": PASSWORD, "new_password": NEW}
        assert mine.post("/users/me/password", json=body).status_code == 204
        assert mine.get("/users/me").status_code == 200
        assert problem(other.get("/users/me")) == (401, "not_signed_in")
        assert problem(token(made, "ada")) == (400, "invalid_grant")
        assert token(made, "ada", NEW).status_code == 200
        assert mine.post("/auth/logout-all").status_code == 204
        assert problem(mine.get("/users/me")) == (401, "not_signed_in")


def enrolled(client: httpx.Client) -> tuple[pyotp.TOTP, list[str]]:
    secret = client.post("/users/me/totp", json={"password": PASSWORD}).json()["secret"]
    totp = pyotp.TOTP(secret)
    confirmed = client.post("/users/me/totp/confirm", json={"password": PASSWORD, "totp": totp.now()})
    assert confirmed.status_code == 200
    return totp, confirmed.json()["recovery_codes"]


def test_an_authenticator_is_asked_for_from_its_confirmation_to_its_removal(made: Served) -> None:
    with made.client("ada") as ada:
        totp, codes = enrolled(ada)
        asked = token(made, "ada")
        assert problem(asked) == (400, "totp_required")
        assert asked.json()["error"] == "invalid_grant"
        assert problem(token(made, "ada", totp=totp.now())) == (400, "invalid_grant")  # it confirmed already
        assert token(made, "ada", totp=codes[0]).status_code == 200
        assert problem(token(made, "ada", totp=codes[0])) == (400, "invalid_grant")
        assert problem(ada.post("/users/me/totp", json={"password": PASSWORD})) == (409, "totp_enrolled")
        removal = {"password": PASSWORD, "totp": codes[1]}
        assert ada.post("/users/me/totp/delete", json=removal).status_code == 204
    assert token(made, "ada").status_code == 200
    for secret in (totp.secret, *codes):
        assert secret not in made.log
        assert secret not in str(made.audit())


def test_an_administrator_can_only_enrol_where_an_authenticator_is_required(make_portal: MakePortal) -> None:
    portal = make_portal(REQUIRE_ADMIN_TOTP="true")
    portal.prepare(root="admin", ada="analyst")
    portal.start()
    with portal.client("root") as root, portal.client("ada") as ada:
        answers = [
            root.get("/users/me"),
            root.get("/users"),
            root.get("/files"),
            root.put("/upload/x", content=b"x"),
            root.post("/users/me/password", json={"current_password": PASSWORD, "new_password": NEW}),
            root.post("/users", json={"name": "eve", "role": "admin"}),
        ]
        assert [problem(answer) for answer in answers] == [(403, "totp_enrolment_required")] * len(answers)
        assert ada.get("/users/me").status_code == 200
        _, codes = enrolled(root)
        assert root.get("/users").status_code == 200
    with as_holder(portal, token(portal, "root", totp=codes[0]).json()) as root:
        assert root.get("/users/me").json()["role"] == "admin"
        assert root.post("/auth/logout").status_code == 204


@pytest.mark.parametrize("how", ["disable", "demote", "reset", "logout"])
def test_what_an_administrator_ends_ends_a_running_download(made: Served, how: str) -> None:
    size = 48 << 20
    with made.client("root") as root, made.client("ada") as ada, Wire(made.port, receive_buffer=1 << 17) as wire:
        entry = ada.put(f"/upload/{secrets.token_hex(8)}", content=bytes(size)).json()
        user = f"/users/{user_of(ada)['id']}"
        wire.send(head("GET", f"/api/v1/files/{entry['id']}/content", bearer(ada)))
        received = len(wire.read(1 << 17))
        ended = {
            "disable": lambda: root.patch(user, json={"disabled": True}, headers={"If-Match": "*"}),
            "demote": lambda: root.patch(user, json={"role": "auditor"}, headers={"If-Match": "*"}),
            "reset": lambda: root.post(f"{user}/reset-password"),
            "logout": lambda: root.post(f"{user}/logout"),
        }[how]()
        assert ended.status_code in {200, 204}

        def is_over() -> bool:
            nonlocal received
            piece = wire.read(1 << 17)  # slowly: 128 KiB a look
            received += len(piece)
            return not piece

        assert eventually(is_over)
        assert received < size
    assert eventually(lambda: outcomes(made, entry["id"]) == ["revoked"])


def test_guessing_is_slowed_down_by_workers_together_and_said_so(make_portal: MakePortal) -> None:
    portal = make_portal()
    portal.prepare(ada="analyst")
    portal.start("--workers", "2")
    answers = [token(portal, "ada", f"wrong password {number}") for number in range(12)]
    told = [problem(answer) for answer in answers]
    assert told[:5] == [(400, "invalid_grant")] * 5
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert {problem(answer) for answer in refused} == {(429, "too_many_attempts")}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
