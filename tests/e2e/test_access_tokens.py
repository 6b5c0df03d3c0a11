"""Access tokens that are not exactly one the portal signed for a session that lives."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from portal.core import clock
from portal.core.secrets import parse_key
from portal.features.identity.tokens import AccessTokens

from .conftest import PASSWORD, Served
from .raw import Wire, head
from .seen import problem


def encoded(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def ask(portal: Served, authorization: str) -> httpx.Response:
    with Wire(portal.port) as wire:
        wire.send(head("GET", "/api/v1/users/me", f"Authorization: {authorization}"))
        return wire.answer()


def refused(portal: Served, token: str) -> bool:
    answer = ask(portal, f"Bearer {token}")
    assert answer.headers.get("www-authenticate", "").startswith("Bearer")
    return problem(answer) == (401, "not_signed_in")


@pytest.fixture(scope="module")
def pair(portal: Served) -> dict[str, Any]:
    form = {"grant_type": "password", "username": "analyst", "password": PASSWORD}
    answer: dict[str, Any] = httpx.post(f"{portal.url}/api/v1/auth/token", data=form).json()
    return answer


def signer(portal: Served) -> AccessTokens:
    key = parse_key(portal.environment["PORTAL_SECRET_KEY"])
    assert key is not None
    return AccessTokens((key,))


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "Token x", "x", "Bearer x y"])
def test_without_a_bearer_token_nobody_is_signed_in(portal: Served, authorization: str) -> None:
    assert problem(ask(portal, authorization)) == (401, "not_signed_in")


def test_no_header_at_all_is_not_signed_in(portal: Served) -> None:
    answer = httpx.get(f"{portal.url}/api/v1/users/me")
    assert problem(answer) == (401, "not_signed_in")
    assert answer.headers["www-authenticate"] == 'Bearer realm="portal"'


def test_a_token_elsewhere_than_in_its_header_is_not_looked_for(portal: Served, pair: dict[str, Any]) -> None:
    token = pair["access_token"]
    url = f"{portal.url}/api/v1/users/me"
    assert httpx.get(url, params={"access_token": token}).status_code == 401
    assert httpx.get(url, cookies={"access_token": token}, headers={"X-User": "admin"}).status_code == 401


def test_an_expired_token_is_over(portal: Served, pair: dict[str, Any]) -> None:
    tokens, now = signer(portal), clock.now()
    claims = tokens.read(pair["access_token"], now)
    assert ask(portal, f"Bearer {tokens.issue(claims, now)}").status_code == 200
    assert refused(portal, tokens.issue(claims, now - timedelta(minutes=15, seconds=1)))


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "HS384", "RS256", "", 1, None, ["HS256"]], ids=repr)
@pytest.mark.parametrize("signed", [False, True])
def test_a_token_of_another_algorithm_is_refused(
    portal: Served, pair: dict[str, Any], algorithm: object, *, signed: bool
) -> None:
    header, body, signature = pair["access_token"].split(".")
    forged = encoded(decoded(header) | {"alg": algorithm})
    assert refused(portal, f"{forged}.{body}.{signature if signed else ''}")


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256", "typ": "JWT"},
        {"crit": ["x"]},
        {"b64": False},
        {"kid": "../../dev/null"},
        {"kid": "' OR 1=1"},
        {"jku": "http://127.0.0.1/keys"},
        {"jwk": {"kty": "oct", "k": "AA"}},
        {"typ": "JWT"},
        ["HS256"],
        "HS256",
        None,
    ],
    ids=repr,
)
def test_a_header_of_another_shape_is_refused(portal: Served, pair: dict[str, Any], header: object) -> None:
    ours, body, signature = pair["access_token"].split(".")
    forged = decoded(ours) | header if isinstance(header, dict) else header
    assert refused(portal, f"{encoded(forged)}.{body}.{signature}")


@pytest.mark.parametrize("key", [b"", b"changeme", b"the key as text", b"\0" * 32])
def test_a_token_signed_with_another_key_is_refused(portal: Served, pair: dict[str, Any], key: bytes) -> None:
    header, body, _ = pair["access_token"].split(".")
    secret = portal.environment["PORTAL_SECRET_KEY"].encode() if key == b"the key as text" else key
    signature = hmac.digest(secret, f"{header}.{body}".encode(), hashlib.sha256)
    assert refused(portal, f"{header}.{body}.{encoded(signature)}")


@pytest.mark.parametrize("claim", ["sub", "sid", "exp", "jti", "iss", "aud"])
def test_a_changed_claim_breaks_the_signature(portal: Served, pair: dict[str, Any], claim: str) -> None:
    header, body, signature = pair["access_token"].split(".")
    claims = decoded(body)
    assert refused(portal, f"{header}.{encoded({**claims, claim: 9999999999})}.{signature}")


def test_a_refresh_token_is_no_access_token(portal: Served, pair: dict[str, Any]) -> None:
    assert refused(portal, pair["refresh_token"])


def test_an_access_token_is_no_refresh_token(portal: Served, pair: dict[str, Any]) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": pair["access_token"]}
    answer = httpx.post(f"{portal.url}/api/v1/auth/token", data=form)
    assert problem(answer) == (400, "invalid_grant")


def test_garbage_is_refused_and_never_an_error_of_ours(portal: Served, pair: dict[str, Any]) -> None:
    header, body, signature = pair["access_token"].split(".")
    deep = encoded(b'{"a":' * 1000 + b"1" + b"}" * 1000)
    garbage = [
        *("x", ".", "..", "...", "a.b.c", "%00", "=" * 10, "ä.ö.ü", "x" * 8193),
        *(f"{header}.", f"{header}..", f"{header}.{body}", f"{header}.{body}.", f"{header}.{body}.{signature}.x"),
        *(f"{header}.{encoded(b'null')}.{signature}", f"{header}.{encoded(b'[')}.{signature}"),
        *(f"{header}.{deep}.{signature}", f"{deep}.{body}.{signature}", f".{body}.{signature}"),
        f"{header}.{body}.{signature[:-2]}",
    ]
    assert all(refused(portal, token) for token in garbage)


def test_a_token_longer_than_a_head_may_be_is_refused(portal: Served) -> None:
    assert problem(ask(portal, f"Bearer {'x' * 40_000}")) == (431, "head_too_large")
