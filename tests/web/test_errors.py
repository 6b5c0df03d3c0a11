"""Errors on the wire: problem documents with a stable code, the right headers, and nothing of what was sent."""

import json
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
import structlog
from fastapi import FastAPI
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request

import portal.app  # noqa: F401  # imports every room, and so defines every error
from portal.core import errors as tree
from portal.core.errors import PortalError
from portal.features.files.uploads.attempt import DigestMismatch
from portal.features.identity.grant_errors import InvalidGrant, InvalidTokenRequest
from portal.web import errors
from portal.web.errors import PROBLEM_JSON, Problem, documented

CANARY = "c4n4ry"


def descendants(root: type[PortalError]) -> list[type[PortalError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in descendants(child))]


def every_kind() -> list[type[PortalError]]:
    """Those of the program, not of other tests."""
    kinds = (kind for kind in descendants(PortalError) if kind.__module__.startswith("portal."))
    return sorted(kinds, key=lambda kind: kind.__qualname__)


def told(error: PortalError, request_id: str | None = "an id") -> tuple[dict[str, Any], dict[str, str], int]:
    answer = errors.problem(error, request_id)
    return json.loads(bytes(answer.body)), dict(answer.headers), answer.status_code


@pytest.mark.parametrize("kind", every_kind(), ids=lambda kind: kind.__name__)
def test_every_error_is_a_problem_document_of_its_own_code(kind: type[PortalError]) -> None:
    made = kind("unsupported_grant_type", "x") if kind is InvalidTokenRequest else kind()
    body, headers, status = told(made)
    assert headers["content-type"] == PROBLEM_JSON
    assert status == body["status"] == kind.status
    assert body["type"] == f"urn:portal:problem:{kind.code}"
    assert (body["code"], body["title"], body["request_id"]) == (kind.code, kind.title, "an id")
    assert body["detail"]
    Problem.model_validate(body)


def test_codes_and_titles_are_shared_by_kinds_of_damage_alone() -> None:
    kinds = [kind for kind in every_kind() if kind.__base__ is not tree.IntegrityError]
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert len({kind.title for kind in kinds}) == len(kinds)


def test_a_problem_without_a_request_has_no_id() -> None:
    assert "request_id" not in told(PortalError(), None)[0]


def test_the_occurrence_is_told_beside_the_kind() -> None:
    body = told(tree.NotFound("No such file."))[0]
    assert (body["title"], body["detail"]) == (tree.NotFound.title, "No such file.")


def test_a_missing_sign_in_names_the_scheme() -> None:
    assert told(tree.NotSignedIn())[1]["www-authenticate"].startswith("Bearer")
    assert "www-authenticate" not in told(tree.Forbidden())[1]


def test_an_unsatisfiable_range_tells_the_size() -> None:
    assert told(tree.RangeNotSatisfiable(size=0))[1]["content-range"] == "bytes */0"
    assert told(tree.RangeNotSatisfiable(size=7))[1]["content-range"] == "bytes */7"


@pytest.mark.parametrize(("error", "seconds"), [(tree.Unavailable(), "5"), (tree.StorageFull(), "60")])
def test_what_may_pass_later_says_when(error: PortalError, seconds: str) -> None:
    assert told(error)[1]["retry-after"] == seconds


def test_a_refused_grant_carries_the_word_of_the_token_protocol() -> None:
    assert told(InvalidGrant())[0]["error"] == "invalid_grant"
    assert told(InvalidTokenRequest("unsupported_grant_type", "No."))[0]["error"] == "unsupported_grant_type"
    assert "error" not in told(tree.InvalidInput())[0]


def test_a_bug_is_told_in_fixed_words() -> None:
    body = json.loads(bytes(errors.server_error("an id").body))
    assert body == {
        "type": "urn:portal:problem:internal_error",
        "title": PortalError.title,
        "status": 500,
        "detail": PortalError.title,
        "code": "internal_error",
        "request_id": "an id",
    }


def test_the_example_of_a_problem_is_one() -> None:
    extra = Problem.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    Problem.model_validate(extra["example"])


def test_documented_has_an_entry_per_status_and_an_example_per_code() -> None:
    said = documented(tree.NotFound, tree.InvalidInput, DigestMismatch, tree.Unavailable)
    assert list(said) == [400, 404, 503]
    content = said[400]["content"][PROBLEM_JSON]
    assert list(content["examples"]) == ["invalid_input", "digest_mismatch"]
    assert tree.InvalidInput.title in said[400]["description"]
    assert DigestMismatch.title in said[400]["description"]
    for code, example in content["examples"].items():
        assert Problem.model_validate(example["value"]).code == code
        assert example["value"]["status"] == 400


def _one_line(text: str) -> str:
    if text:
        raise ValueError("write one line")
    return text


class Patch(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: UUID | None = None
    count: int = Field(0, le=9)
    word: str = Field("", max_length=3, pattern="^[a-z]*$")
    many: list[int] = []
    either: int | UUID = 0
    lines: Annotated[str, AfterValidator(_one_line)] = ""


def app() -> FastAPI:
    made = FastAPI()

    @made.post("/patch/{number}")
    async def patch(number: int, body: Patch, limit: int = 1) -> None:
        """Takes what it is given."""

    @made.get("/patch/{number}")
    async def read(number: int) -> None:
        """Another method of the same path."""

    @made.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, detail=CANARY, headers={"X-Kept": "yes"})

    @made.get("/refused")
    async def refused() -> None:
        raise tree.Unprocessable("Not like this.")

    errors.install(made, lambda _request, _error: None)
    return made


async def ask(method: str, path: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app()), base_url="http://portal") as client:
        return await client.request(method, path, **options)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/patch/1", 405, "method_not_allowed"),
        ("GET", "/teapot", 418, "http_418"),
        ("GET", "/refused", 422, "unprocessable"),
        ("POST", "/patch/1", 422, "validation_failed"),
    ],
)
async def test_whatever_a_route_raises_is_a_problem(method: str, path: str, status: int, code: str) -> None:
    answer = await ask(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert CANARY not in answer.text


async def test_the_frameworks_own_headers_are_kept() -> None:
    assert (await ask("GET", "/teapot")).headers["x-kept"] == "yes"


async def test_a_refused_method_is_told_every_method_of_the_path() -> None:
    assert (await ask("DELETE", "/patch/1")).headers["allow"] == "GET, HEAD, POST"
    assert (await ask("POST", "/refused")).headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "options",
    [
        {"json": {"word": CANARY}},
        {"json": {"count": CANARY}},
        {"json": {"id": CANARY}},
        {"json": CANARY},
        {"json": [CANARY] * 50},
        {"content": f'{{"word": "{CANARY}'.encode(), "headers": {"Content-Type": "application/json"}},
        {"content": CANARY.encode(), "headers": {"Content-Type": "text/plain"}},
        {"json": {}, "params": {"limit": CANARY}},
        {"content": b'{"word": "\\ud800"}', "headers": {"Content-Type": "application/json"}},
        {"content": b'{"count": NaN}', "headers": {"Content-Type": "application/json"}},
        {"content": b'{"count": 1e400}', "headers": {"Content-Type": "application/json"}},
    ],
)
async def test_what_is_not_valid_is_named_and_not_repeated(options: dict[str, Any]) -> None:
    answer = await ask("POST", "/patch/1", **options)
    assert answer.status_code == 422
    assert answer.json()["code"] == "validation_failed"
    assert CANARY not in answer.text


@pytest.mark.parametrize("name", [f"{CANARY} <img src=x>", CANARY.upper(), "a" * 33, "naïve", "", "word\n"])
async def test_the_name_of_an_unknown_field_is_not_repeated_where_it_could_be_anything(name: str) -> None:
    answer = await ask("POST", "/patch/1", json={name: 1})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"in": "body", "name": "", "message": "a name is not known here: check its name, or leave it out"}
    ]
    assert not name or name not in answer.json()["detail"].replace("a name", "")


async def test_the_name_of_an_unknown_field_is_told_where_it_looks_like_one() -> None:
    answer = await ask("POST", "/patch/1", json={"wrod": CANARY})
    assert answer.json()["detail"] == "body.wrod: is not known here: check its name, or leave it out"
    assert [fault["name"] for fault in answer.json()["errors"]] == ["wrod"]
    assert CANARY not in answer.text


async def test_every_fault_has_a_place_a_name_and_what_to_do() -> None:
    answer = await ask("POST", "/patch/x", json={"count": 10, "many": [1, "x"], "lines": "a"}, params={"limit": "x"})
    Problem.model_validate(answer.json())
    told = {(fault["in"], fault["name"]): fault["message"] for fault in answer.json()["errors"]}
    assert told == {
        ("path", "number"): "write a whole number",
        ("query", "limit"): "write a whole number",
        ("body", "count"): "Input should be less than or equal to 9",
        ("body", "many.1"): "write a whole number",
        ("body", "lines"): "write one line",
    }
    assert answer.json()["detail"] == "; ".join(f"{where}.{name}: {text}" for (where, name), text in told.items())


async def test_nothing_of_the_library_is_told() -> None:
    for body in ([1], None, {"many": {"a": 1}}, {"either": [1]}, {"id": 5}, {"many": [None] * 50}):
        told = (await ask("POST", "/patch/1", json=body)).json()
        assert told["errors"]
        assert len(told["errors"]) <= 10
        for word in ("lax-or-strict", "[", "function-", "Value error", "pydantic", "union"):
            assert word not in told["detail"]


def request_with(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw})


@pytest.mark.parametrize(
    ("headers", "challenge", "words"),
    [
        ({}, 'Bearer realm="portal"', "No access token was sent"),
        ({"authorization": "Basic YTpi"}, 'Bearer realm="portal"', "No access token was sent"),
        ({"authorization": "Bearer "}, 'Bearer realm="portal"', "No access token was sent"),
        ({"authorization": "Bearer x"}, 'Bearer realm="portal", error="invalid_token"', "wrong, expired or revoked"),
        ({"authorization": "bearer x"}, 'Bearer realm="portal", error="invalid_token"', "wrong, expired or revoked"),
        ({"x_api_token": "x"}, 'Bearer realm="portal", error="invalid_token"', "wrong, expired or revoked"),
    ],
)
async def test_a_missing_token_and_a_wrong_one_are_told_apart(
    headers: dict[str, str], challenge: str, words: str
) -> None:
    """RFC 6750 §3.1: a client that showed none is told no error code."""
    answer = await errors._on_portal_error(request_with(**headers), tree.NotSignedIn())
    assert answer.headers["www-authenticate"] == challenge
    assert words in json.loads(bytes(answer.body))["detail"]


def test_a_token_that_is_not_enough_is_told_so_in_the_challenge() -> None:
    assert told(tree.InsufficientScope())[1]["www-authenticate"].endswith('error="insufficient_scope"')


async def test_a_path_that_no_route_has_is_told_apart_from_an_object_that_is_not_there() -> None:
    answer = (await ask("GET", "/nowhere")).json()
    assert (answer["code"], answer["title"]) == ("not_found", tree.NotFound.title)
    assert answer["detail"].startswith("No such path")


async def test_a_method_that_a_path_does_not_take_is_told_those_it_takes() -> None:
    assert "GET, HEAD, POST" in (await ask("DELETE", "/patch/1")).json()["detail"]


async def test_the_place_of_what_is_not_valid_is_named() -> None:
    answer = await ask("POST", f"/patch/{CANARY}", json={"count": 10}, params={"limit": "x"})
    detail = answer.json()["detail"]
    assert all(place in detail for place in ("path.number", "query.limit", "body.count"))
    assert CANARY not in answer.text


async def test_of_many_problems_a_few_are_told() -> None:
    answer = await ask("POST", "/patch/1", json={f"unknown{number}": 1 for number in range(500)})
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) <= 1000


async def test_what_is_away_is_in_the_log_with_its_reason_and_not_in_the_answer() -> None:
    app = FastAPI()
    errors.install(app, lambda _request, _error: None)

    @app.get("/")
    async def away() -> None:
        raise tree.Unavailable from OSError(5, "Input/output error", CANARY)

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with structlog.testing.capture_logs() as logs:
        async with httpx.AsyncClient(transport=transport, base_url="http://portal") as client:
            answer = await client.get("/")
    assert answer.status_code == 503
    assert "Input" not in answer.text
    assert CANARY not in f"{answer.text}{logs}"
    (line,) = logs
    assert (line["event"], line["code"], line["reason"]) == ("unavailable", "unavailable", "Input/output error")
