"""Signing in, refreshing, signing out: the grants of RFC 6749, and what each token is good for."""

import secrets
import unicodedata
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from portal.core.principal import EVERY_PERMISSION

from .conftest import PASSWORD, MakePortal, Served
from .seen import problem

EVERYTHING = " ".join(sorted(EVERY_PERMISSION))
PASSWORD_GRANT = {"grant_type": "password", "username": "analyst", "password": PASSWORD}


def token(portal: Served, **form: str) -> httpx.Response:
    return httpx.post(f"{portal.url}/api/v1/auth/token", data=form, timeout=60)


def signed_in(portal: Served) -> dict[str, Any]:
    pair: dict[str, Any] = token(portal, **PASSWORD_GRANT).json()
    return pair


def refreshed(portal: Served, pair: dict[str, Any]) -> httpx.Response:
    return token(portal, grant_type="refresh_token", refresh_token=pair["refresh_token"])


def me(portal: Served, pair: dict[str, Any]) -> httpx.Response:
    return httpx.get(f"{portal.url}/api/v1/users/me", headers={"Authorization": f"Bearer {pair['access_token']}"})


def sign_out(portal: Served, pair: dict[str, Any]) -> int:
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    return httpx.post(f"{portal.url}/api/v1/auth/logout", headers=headers).status_code


def test_the_password_grant_gives_a_pair_of_tokens(portal: Served) -> None:
    answer = token(portal, **PASSWORD_GRANT)
    pair = answer.json()
    assert answer.status_code == 200
    assert pair.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (pair["token_type"], pair["expires_in"], pair["scope"]) == ("bearer", 900, EVERYTHING)
    assert answer.headers["cache-control"] == "no-store"
    mine = me(portal, pair)
    assert mine.status_code == 200
    assert mine.json().keys() == {"id", "name", "role", "created_at"}
    assert (mine.json()["name"], mine.json()["role"]) == ("analyst", "analyst")


def test_names_are_compared_without_case_and_form(portal: Served) -> None:
    for name in ("ANALYST", "Ana\uff4cyst"):
        assert token(portal, **PASSWORD_GRANT | {"username": name}).status_code == 200


def test_who_asks_for_less_gets_less_and_a_refresh_no_more(portal: Served) -> None:
    pair = token(portal, **PASSWORD_GRANT, scope="files:read files:upload").json()
    assert pair["scope"] == "files:read files:upload"
    again = token(portal, grant_type="refresh_token", refresh_token=pair["refresh_token"], scope="account").json()
    assert again["scope"] == "files:read files:upload"
    with httpx.Client(base_url=portal.url, headers={"Authorization": f"Bearer {again['access_token']}"}) as client:
        assert client.get("/api/v1/files").status_code == 200
        for path in ("/api/v1/tokens", "/api/v1/cases"):
            assert problem(client.get(path)) == (403, "insufficient_scope")


@pytest.mark.parametrize("scope", ["administer", "files:read everything", "shared:download", "\0"])
def test_a_scope_that_no_sign_in_has_is_refused(portal: Served, scope: str) -> None:
    answer = token(portal, **PASSWORD_GRANT, scope=scope)
    assert (problem(answer), answer.json()["error"]) == ((400, "invalid_token_request"), "invalid_scope")


@pytest.mark.parametrize("scope", ["", " "])
def test_an_empty_scope_asks_for_everything(portal: Served, scope: str) -> None:
    assert token(portal, **PASSWORD_GRANT, scope=scope).json()["scope"] == EVERYTHING


def test_a_refresh_gives_a_new_pair_and_uses_the_old_one_up(portal: Served) -> None:
    first = signed_in(portal)
    second = refreshed(portal, first).json()
    third = refreshed(portal, second).json()
    assert len({pair["refresh_token"] for pair in (first, second, third)}) == 3
    assert len({pair["access_token"] for pair in (first, second, third)}) == 3
    assert me(portal, third).status_code == 200


def test_a_refresh_sent_twice_gives_the_same_pair(portal: Served) -> None:
    first = signed_in(portal)
    second, again = refreshed(portal, first).json(), refreshed(portal, first).json()
    assert {**second, "expires_in": 0} == {**again, "expires_in": 0}
    assert me(portal, again).status_code == 200


def test_a_refresh_token_used_twice_ends_the_whole_family(portal: Served) -> None:
    first, bystander = signed_in(portal), signed_in(portal)
    second = refreshed(portal, refreshed(portal, first).json()).json()
    assert me(portal, second).status_code == 200
    again = refreshed(portal, first)
    assert (problem(again), again.json()["error"]) == ((400, "invalid_grant"), "invalid_grant")
    assert me(portal, second).status_code == 401
    assert me(portal, first).status_code == 401
    assert refreshed(portal, second).status_code == 400
    assert me(portal, bystander).status_code == 200
    assert "auth.refresh_reused" in [event["event"] for event in portal.audit()]


def test_a_sign_out_bites_at_once(portal: Served) -> None:
    pair, bystander = signed_in(portal), signed_in(portal)
    assert sign_out(portal, pair) == 204
    assert problem(me(portal, pair)) == (401, "not_signed_in")
    assert problem(refreshed(portal, pair)) == (400, "invalid_grant")
    assert sign_out(portal, pair) == 401
    assert me(portal, bystander).status_code == 200
    assert refreshed(portal, bystander).status_code == 200


def test_an_unknown_name_and_a_wrong_password_look_the_same(portal: Served) -> None:
    signed_in(portal)  # whatever was mistyped before costs no waiting now
    forms = (
        {"username": f"nobody-{secrets.token_hex(4)}"},
        {"password": "a wrong password"},
        {"username": "", "password": ""},
    )
    answers = [token(portal, **PASSWORD_GRANT | form) for form in forms]
    assert [problem(answer) for answer in answers] == [(400, "invalid_grant")] * 3
    bodies = [answer.json() | {"request_id": ""} for answer in answers]
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["error"] == "invalid_grant"
    personal = {"date", "ratelimit", "x-request-id"}
    heads = [{name: value for name, value in answer.headers.items() if name not in personal} for answer in answers]
    assert heads[0] == heads[1] == heads[2]


def test_every_sign_in_and_every_failed_one_is_on_record(portal: Served) -> None:
    name = f"nobody-{secrets.token_hex(4)}"
    user_id = me(portal, signed_in(portal)).json()["id"]
    failed = token(portal, **PASSWORD_GRANT | {"username": name})
    events = portal.audit()
    (refused,) = [event for event in events if event["request_id"] == failed.headers["x-request-id"]]
    assert (refused["event"], refused["actor"], refused["address"]) == ("auth.sign_in_failed", "nobody", "127.0.0.1")
    assert refused["details"] == {"grant": "password", "name": name}
    assert f"user:{user_id}" in [event["actor"] for event in events if event["event"] == "auth.sign_in"]


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "PASSWORD", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "invalid_request"),
        ({"grant_type": "password", "username": "analyst"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": f"{'0' * 32}.x"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "ä.\ud7ff"}, "invalid_grant"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value.values())[:30].encode("ascii", "replace"),
)
def test_refusals_carry_the_word_of_rfc_6749(portal: Served, form: dict[str, str], word: str) -> None:
    refused = token(portal, **form)
    assert problem(refused)[0] == 400
    assert refused.json()["error"] == word


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"grant_type=password&username=analyst&username=admin&password=x", "invalid_request"),
        (b"grant_type=password&grant_type=password&username=a&password=b", "invalid_request"),
        (b"grant_type=password&username=%ff&password=x", "invalid_request"),
        (b"grant_type=password&username=\xff&password=x", "invalid_request"),
        (b"grant_type=password&username=%ed%a0%80&password=x", "invalid_request"),
        (b"&".join(b"f%d=x" % number for number in range(17)), "invalid_request"),
        (b"grant_type=password&username=a&password=" + b"x" * (16 << 10), "invalid_request"),
        (b"x" * 1_000_000, "invalid_request"),
        (b"grant_type=password&username=a%00b&password=x", "invalid_grant"),
        (b"grant_type=password%00&username=analyst&password=x", "unsupported_grant_type"),
    ],
    ids=[
        "name twice",
        "grant twice",
        "not UTF-8",
        "raw bytes",
        "surrogate",
        "17 fields",
        "long",
        "1 MB",
        "NUL",
        "NUL in a grant",
    ],
)
def test_a_malformed_token_request_is_refused(portal: Served, body: bytes, word: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    refused = httpx.post(f"{portal.url}/api/v1/auth/token", content=body, headers=headers)
    assert problem(refused)[0] == 400
    assert refused.json()["error"] == word


def test_a_token_request_over_a_mebibyte_is_not_read(portal: Served) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    refused = httpx.post(f"{portal.url}/api/v1/auth/token", content=bytes((1 << 20) + 1), headers=headers)
    assert problem(refused) == (413, "too_large")


@pytest.mark.parametrize(
    ("length", "status"), [(1, 400), (64, 400), (72, 400), (128, 400), (1024, 400), (1025, 422), (9000, 422)]
)
@pytest.mark.parametrize("known", [True, False])
def test_long_passwords_are_judged_and_longer_ones_refused_unhashed(
    portal: Served, known: bool, length: int, status: int
) -> None:
    signed_in(portal)  # whatever was mistyped before costs no waiting now
    name = "analyst" if known else f"nobody-{secrets.token_hex(4)}"
    refused = token(portal, grant_type="password", username=name, password="p" * length)
    assert problem(refused)[0] == status


def test_a_password_may_be_typed_on_any_keyboard(portal: Served) -> None:
    name = f"zoe-{secrets.token_hex(4)}"
    composed, decomposed = (unicodedata.normalize(form, "café crème brûlée") for form in ("NFC", "NFD"))
    portal.cli("users", "create", name, "--role", "analyst", "--password-stdin", stdin=decomposed)
    for spelling in (composed, decomposed):
        assert token(portal, grant_type="password", username=name, password=spelling).status_code == 200
    refused = token(portal, grant_type="password", username=name, password="cafe creme brulee")
    assert problem(refused) == (400, "invalid_grant")


def test_a_sign_in_from_another_site_gains_that_site_nothing(portal: Served) -> None:
    """No cookie, and nothing that another origin may read: there is no ambient credential to ride on."""
    foreign = {
        "Origin": "https://evil.example.org",
        "Sec-Fetch-Site": "cross-site",
        "Referer": "https://evil.example.org/",
    }
    signed = httpx.post(f"{portal.url}/api/v1/auth/token", data=PASSWORD_GRANT, headers=foreign, timeout=60)
    headers = foreign | {"Authorization": f"Bearer {signed.json()['access_token']}"}
    for answer in (signed, httpx.get(f"{portal.url}/api/v1/users/me", headers=headers)):
        assert answer.status_code == 200
        assert {"set-cookie", "access-control-allow-origin"}.isdisjoint(answer.headers)


def test_passwords_are_not_cut_short(portal: Served) -> None:
    for near in (PASSWORD + "x", PASSWORD[:-1], PASSWORD + "\0", "\0" + PASSWORD, PASSWORD.upper()):
        assert problem(token(portal, **PASSWORD_GRANT | {"username": "mistaken", "password": near})) == (
            400,
            "invalid_grant",
        )


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", "multipart/form-data; boundary=x", "application/octet-stream", ""],
)
def test_only_an_urlencoded_form_is_a_token_request(portal: Served, content_type: str) -> None:
    body = httpx.Request("POST", portal.url, data=PASSWORD_GRANT).content
    refused = httpx.post(f"{portal.url}/api/v1/auth/token", content=body, headers={"Content-Type": content_type})
    assert problem(refused) == (415, "unsupported_media_type")


def test_a_charset_beside_the_type_is_no_matter(portal: Served) -> None:
    body = httpx.Request("POST", portal.url, data=PASSWORD_GRANT).content
    headers = {"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=UTF-8"}
    assert httpx.post(f"{portal.url}/api/v1/auth/token", content=body, headers=headers).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_nobody_signs_in_by_another_method(portal: Served, method: str) -> None:
    refused = httpx.request(method, f"{portal.url}/api/v1/auth/token", params=PASSWORD_GRANT)
    assert problem(refused) == (405, "method_not_allowed")
    assert refused.headers["allow"] == "POST"


def test_credentials_in_the_query_are_not_taken(portal: Served) -> None:
    refused = httpx.post(f"{portal.url}/api/v1/auth/token", params=PASSWORD_GRANT, data={"grant_type": "password"})
    assert refused.status_code == 400


def test_any_used_refresh_token_ends_its_family_not_only_the_last(portal: Served) -> None:
    first = signed_in(portal)
    second = refreshed(portal, first).json()
    third = refreshed(portal, second).json()
    assert me(portal, third).status_code == 200
    assert problem(refreshed(portal, first)) == (400, "invalid_grant")
    assert me(portal, third).status_code == 401
    assert refreshed(portal, third).status_code == 400


def test_a_missing_grant_type_is_an_invalid_request(portal: Served) -> None:
    refused = token(portal, username="analyst", password="x")
    assert (problem(refused)[0], refused.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_name_with_a_nul_is_nobodys_on_a_database_that_takes_none(
    make_portal: MakePortal, database_url: URL
) -> None:
    portal = make_portal(DATABASE_URL=database_url.render_as_string(hide_password=False), DATABASE_SSL_MODE="disable")
    portal.prepare()
    portal.start()
    refused = token(portal, grant_type="password", username="a\0b", password="a password")
    assert problem(refused)[0] in {400, 422}
