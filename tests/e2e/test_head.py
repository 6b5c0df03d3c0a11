"""What stands around every answer: problem documents, request ids, security headers, CORS, who is behind a proxy."""

import json
import secrets
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import httpx
import pytest

from portal.web.middleware import POLICY

from .conftest import ORIGIN, Served
from .raw import Wire, bearer, chunk, head
from .seen import a_bug, eventually, problem

HARDENED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def lines(portal: Served, request_id: str) -> list[dict[str, Any]]:
    """What the log says of a request, once it says that the request is over: that comes after the answer."""
    told: list[dict[str, Any]] = []

    def is_over() -> bool:
        told[:] = [json.loads(line) for line in portal.log.splitlines() if request_id in line]
        return any(line["event"] == "request" for line in told)

    assert eventually(is_over)
    return told


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/api/v2/files", 404, "not_found"),
        ("GET", "/.git/config", 404, "not_found"),
        ("GET", "/.env", 404, "not_found"),
        ("GET", "/static/../.env", 404, "not_found"),
        ("GET", "/docs/..%2f..%2fetc%2fpasswd", 404, "not_found"),
        ("GET", "/metrics", 404, "not_found"),
        ("GET", "/debug", 404, "not_found"),
        ("GET", "/redoc", 404, "not_found"),
        ("GET", "//api/v1/files", 404, "not_found"),
        ("GET", "/api/v1/files/x/content/y", 404, "not_found"),
        ("TRACE", "/api/v1/files", 405, "method_not_allowed"),
        ("DELETE", "/api/v1/files", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("GET", "/api/v1/upload/x", 405, "method_not_allowed"),
        ("GET", "/api/v1/files?limit=ten", 422, "validation_failed"),
        ("GET", "/api/v1/files?limit=1&limit=2", 422, "validation_failed"),
        ("GET", "/api/v1/files/x", 404, "not_found"),
    ],
)
def test_every_refusal_is_a_problem_that_the_log_can_be_asked_about(
    portal: Served, analyst: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    with Wire(portal.port) as wire:
        wire.send(head(method, path, bearer(analyst)))
        refused = wire.answer()
    assert problem(refused) == (status, code)
    assert refused.headers.items() >= HARDENED.items()
    assert [line["status"] for line in lines(portal, refused.headers["x-request-id"])] == [status]
    if status == 405:
        assert refused.headers["allow"]


def test_a_bug_is_a_plain_500_and_its_story_is_in_the_log(portal: Served, analyst: httpx.Client) -> None:
    entry = analyst.put(f"/upload/{secrets.token_hex(8)}", content=b"x").json()
    with a_bug(portal, entry["id"]):
        failed = analyst.get(f"/files/{entry['id']}")
    assert problem(failed) == (500, "internal_error")
    assert "unforeseen" not in failed.text
    told = lines(portal, failed.headers["x-request-id"])
    assert [line["event"] for line in told] == ["request_failed", "request"]
    assert "unforeseen" in json.dumps(told[0])
    assert analyst.get(f"/files/{entry['id']}").status_code == 200


def test_every_answer_has_a_new_request_id_whatever_the_client_sends(portal: Served, analyst: httpx.Client) -> None:
    sent = {"X-Request-ID": "mine", "X-Correlation-ID": "mine"}
    paths = ("/files", "/users/me", "/nothing")
    answers = [analyst.get(path, headers=sent) for path in paths]
    answers.append(httpx.get(f"{portal.url}/healthz", headers=sent))
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 4
    assert all(UUID(request_id).version == 7 for request_id in ids)
    assert all(len(lines(portal, request_id)) == 1 for request_id in ids)


def test_success_is_hardened_too(portal: Served, analyst: httpx.Client) -> None:
    for answer in (analyst.get("/users/me"), analyst.get("/files"), httpx.get(f"{portal.url}/readyz")):
        assert answer.status_code == 200
        assert answer.headers.items() >= HARDENED.items()
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers


def test_a_hostile_path_is_one_line_of_json_in_the_log(portal: Served) -> None:
    forged = '%0d%0a{"event":"forged"}%1b[31m'
    answer = httpx.get(f"{portal.url}/{forged}")
    assert answer.status_code in {400, 404}
    (line,) = lines(portal, answer.headers["x-request-id"])
    assert line["path"] == "/" + unquote(forged)
    assert '{"event":"forged"}' not in portal.log
    assert "\x1b" not in portal.log


def test_a_configured_origin_may_read_what_clients_need(fronted: Served) -> None:
    with fronted.client("analyst") as analyst:
        created = analyst.put("/upload/a.bin", content=b"x", headers={"Origin": ORIGIN})
        refused = analyst.get("/nothing", headers={"Origin": ORIGIN})
    for answer in (created, refused):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
        assert exposed >= {"Accept-Ranges", "ETag", "Location", "Content-Disposition", "Repr-Digest", "Retry-After"}
        assert "access-control-allow-credentials" not in answer.headers
        assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize(
    "origin", ["https://evil.example.org", f"{ORIGIN}.evil.org", "null", "http://desk.example.org"]
)
def test_another_origin_may_read_nothing(fronted: Served, origin: str) -> None:
    with fronted.client("analyst") as analyst:
        answer = analyst.get("/files", headers={"Origin": origin})
    preflight = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    asked = httpx.options(f"{fronted.url}/api/v1/upload/a.bin", headers=preflight)
    for one in (answer, asked):
        assert "access-control-allow-origin" not in one.headers
    assert asked.status_code == 400


def test_a_configured_origin_may_ask_first(fronted: Served) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization, if-match, content-type, idempotency-key, repr-digest, "
        "if-none-match, x-requested-with, traceparent, tracestate, baggage, sentry-trace",
    }
    answer = httpx.options(f"{fronted.url}/api/v1/files/x", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_without_origins_nobody_elsewhere_may_read(analyst: httpx.Client) -> None:
    assert "access-control-allow-origin" not in analyst.get("/files", headers={"Origin": ORIGIN}).headers


def test_documents_are_nowhere_where_they_are_switched_off(portal: Served, fronted: Served) -> None:
    for path in ("/docs", "/openapi.json", "/docs/swagger-ui.css"):
        assert problem(httpx.get(f"{fronted.url}{path}")) == (404, "not_found")
        assert httpx.get(f"{portal.url}{path}").status_code == 200


FAILING = b"grant_type=password&username=nobody&password=a-wrong-password"


def recorded_address(portal: Served, *forwarded: str) -> str:
    """The address that the audit record has for a sign-in with these headers."""
    return address_of(portal, FAILING, f"Content-Length: {len(FAILING)}", *forwarded)


def address_of(portal: Served, body: bytes, *headers: str) -> str:
    with Wire(portal.port) as wire:
        kind = "Content-Type: application/x-www-form-urlencoded"
        wire.send(head("POST", "/api/v1/auth/token", kind, *headers) + body)
        request_id = wire.answer().headers["x-request-id"]
    (event,) = [event for event in portal.audit() if event["request_id"] == request_id]
    return str(event["address"])


@pytest.mark.parametrize(
    "forwarded",
    [
        ["X-Forwarded-For: 6.6.6.6"],
        ["X_Forwarded_For: 6.6.6.6"],
        ["Forwarded: for=6.6.6.6"],
        ["X-Real-IP: 6.6.6.6", "Client-IP: 6.6.6.6", "True-Client-IP: 6.6.6.6"],
    ],
    ids=lambda headers: str(headers[0]),
)
def test_nobody_says_where_they_are_to_a_portal_without_proxies(portal: Served, forwarded: list[str]) -> None:
    assert recorded_address(portal, *forwarded) == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ([], "127.0.0.1"),
        (["X-Forwarded-For: 6.6.6.6"], "6.6.6.6"),
        (["X-Forwarded-For: 6.6.6.6, 7.7.7.7"], "7.7.7.7"),
        (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7"], "7.7.7.7"),
        (["X-Forwarded-For: 6.6.6.6, 7.7.7.7, 10.1.2.3"], "7.7.7.7"),
        (["X-Forwarded-For: 2001:DB8::1"], "2001:db8::1"),
        (["X-Forwarded-For: not-an-ip <script>"], "127.0.0.1"),
        (["X-Forwarded-For: 6.6.6.6, not-an-ip"], "127.0.0.1"),
        (["X-Forwarded-For: not-an-ip, 6.6.6.6"], "6.6.6.6"),
        (["X-Forwarded-For: 6.6.6.6, 10.1.2.3, garbage"], "127.0.0.1"),
        (["X-Forwarded-For: 6.6.6.6, garbage, 10.1.2.3"], "10.1.2.3"),
        (["X-Forwarded-For:"], "127.0.0.1"),
        (["X-Forwarded-For: ,,,"], "127.0.0.1"),
        (["X-Forwarded-For: 999.1.1.1"], "127.0.0.1"),
        (["X-Forwarded-For: 6.6.6.6:80"], "6.6.6.6"),
        (["X_Forwarded_For: 6.6.6.6"], "127.0.0.1"),
        (["Forwarded: for=6.6.6.6"], "127.0.0.1"),
    ],
    ids=lambda value: " ".join(value) or "none" if isinstance(value, list) else None,
)
def test_a_trusted_proxy_is_believed_as_far_as_it_names_addresses(
    fronted: Served, forwarded: list[str], address: str
) -> None:
    assert recorded_address(fronted, *forwarded) == address


def test_an_address_behind_the_body_is_believed_of_nobody(fronted: Served) -> None:
    """A proxy that hands trailer fields on did not write them."""
    body = chunk(FAILING) + b"0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
    told = ["X-Forwarded-For: 7.7.7.7", "Transfer-Encoding: chunked", "Trailer: X-Forwarded-For"]
    assert address_of(fronted, body, *told) == "7.7.7.7"


def test_a_plain_500_is_hardened_too(portal: Served, analyst: httpx.Client) -> None:
    entry = analyst.put(f"/upload/{secrets.token_hex(8)}", content=b"x").json()
    with a_bug(portal, entry["id"]):
        failed = analyst.get(f"/files/{entry['id']}")
    assert problem(failed) == (500, "internal_error")
    assert failed.headers.items() >= HARDENED.items()
    assert failed.headers["cache-control"] == "no-store"
