"""The surface: every route and who may call it, written down; what the document promises; what no module may do."""

import ast
import re
import tomllib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import httpx
import pytest
import structlog
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.middleware.base import BaseHTTPMiddleware

import portal
from portal import config
from portal.app import create_app
from portal.core.principal import EVERY_PERMISSION
from portal.features.identity.authenticators import Authenticators
from portal.settings import Settings
from portal.web.errors import PROBLEM_JSON, Problem
from portal.web.middleware import RequestContext

from .conftest import NO_DOTENV
from .e2e.matrix_table import PERMISSIONS, ROWS

OPEN = {row.split()[0] for row, cells in ROWS.items() if cells["anon"] != "401"}
"""Routes for people without a token; every other asks for one."""
SOME_ID = "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d"
UNDOCUMENTED = {"front", "openapi", "docs", "asset"}

SOURCE = Path(portal.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))


def settings(**changes: str) -> tuple[Settings, dict[str, str]]:
    keys = {name: sha256(name.encode()).hexdigest() for name in ("MASTER_KEY", "SECRET_KEY")}
    return config.load({f"PORTAL_{k}": v for k, v in {**keys, **changes}.items()}, NO_DOTENV)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    made = create_app(*settings())
    nobody = SimpleNamespace(authenticators=Authenticators())  # the lifespan that opens a portal does not run here
    made.state.portal = SimpleNamespace(identity=nobody)
    return made


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Without a portal behind it /readyz is a bug, and to show one in colours takes seconds."""
    structlog.configure(processors=[_drop])
    yield
    structlog.reset_defaults()


def _drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and what is said of each, its answers in full."""
    found = [
        (m.upper(), path, said | {"responses": in_full(said["responses"], document)})
        for path, verbs in document["paths"].items()
        for m, said in verbs.items()
    ]
    assert found
    return found


def in_full(node: Any, document: dict[str, Any]) -> Any:
    """With what `components` has of answers, headers and examples; schemas stay references."""
    if isinstance(node, list):
        return [in_full(child, document) for child in node]
    if not isinstance(node, dict):
        return node
    kind, _, name = node.get("$ref", "").removeprefix("#/components/").partition("/")
    if kind in {"responses", "headers", "examples"}:
        return in_full(document["components"][kind][name], document)
    return {key: in_full(child, document) for key, child in node.items()}


class Shown(Protocol):
    methods: set[str]
    path: str
    name: str


def routes(app: FastAPI) -> list[tuple[str, str, str]]:
    contexts: list[Shown] = list(iter_route_contexts(app.routes))  # type: ignore[arg-type]  # optional for mounts
    found = [(method, context.path, context.name) for context in contexts for method in context.methods]
    assert found
    return found


class Unread:
    """A request body that must not be asked for."""

    def __aiter__(self) -> "Unread":
        return self

    async def __anext__(self) -> bytes:
        raise AssertionError("the body was read")


async def test_a_caller_without_a_token_gets_no_further_than_the_matrix_says(app: FastAPI) -> None:
    for method, path, name in routes(app):
        url = re.sub(r"\{\w+_id(:uuid)?\}", SOME_ID, path).replace("{filename:path}", "a.bin")
        content = Unread() if method in {"POST", "PUT"} and name not in OPEN else None
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            answer = await client.request(method, url, content=content)
        assert (answer.status_code == 401) is (name not in OPEN), name
        assert answer.headers.get("www-authenticate", "").startswith("Bearer") is (name not in OPEN)


def test_the_document_says_where_no_token_is_needed(document: dict[str, Any]) -> None:
    assert {said["operationId"] for _, _, said in operations(document) if not said["security"]} == OPEN - UNDOCUMENTED


def offered(name: str, scope: str) -> set[str]:
    """The ways to show a credential: an API token's own where one can have the permission."""
    if name.partition("_")[2].startswith("shared"):
        return {"bearer"}  # a link's own token
    return {"bearer", "password"} | (set() if scope in {"account", "admin"} else {"api_token"})


def test_the_document_says_which_permissions_a_token_needs(document: dict[str, Any]) -> None:
    said = {}
    for _, _, operation in operations(document):
        asked = {name: " ".join(scopes) for entry in operation["security"] for name, scopes in entry.items()}
        if asked:
            (listed,) = re.findall(r"Permission: (.+?)\.", operation["description"]) or [""]
            told = re.findall(r"`([a-z:]+)`", listed)
            assert asked.get("password", "") in (" ".join(told), "")
            assert not asked["bearer"] + asked.get("api_token", "")  # only OAuth2 has scopes, say linters
            said[operation["operationId"]] = (set(asked), " ".join(told))
    asks = {name: scope for scope, names in PERMISSIONS.items() for name in names.split()}
    assert said == {name: (offered(name, scope), scope) for name, scope in asks.items()}
    assert list(document["components"]["securitySchemes"]) == ["bearer", "password", "api_token"]
    flow = document["components"]["securitySchemes"]["password"]["flows"]["password"]
    assert set(flow["scopes"]) == {permission.value for permission in EVERY_PERMISSION}


def test_every_operation_has_a_summary_a_tag_and_a_short_id_of_its_own(document: dict[str, Any]) -> None:
    ids = [said["operationId"] for _, _, said in operations(document)]
    assert len(set(ids)) == len(ids)
    for _, _, said in operations(document):
        assert re.fullmatch(r"[a-z][a-z_]{2,24}", said["operationId"])
        assert 4 < len(said["summary"]) < 60
        assert len(said["tags"]) == 1


def test_every_error_is_a_problem_document(document: dict[str, Any]) -> None:
    for _, _, said in operations(document):
        for status, answer in said["responses"].items():
            if status >= "400":
                assert list(answer["content"]) == [PROBLEM_JSON]
                assert answer["content"][PROBLEM_JSON]["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_error_of_our_own_has_an_example_per_code(document: dict[str, Any]) -> None:
    for _, _, said in operations(document):
        for status, answer in said["responses"].items():
            if status < "400":
                continue
            examples = answer["content"][PROBLEM_JSON]["examples"]
            assert examples
            for code, example in examples.items():
                assert Problem.model_validate(example["value"]).code == code
                assert example["value"]["status"] == int(status)


def test_uploads_document_every_code_of_422(document: dict[str, Any]) -> None:
    said = {operation["operationId"]: operation["responses"] for _, _, operation in operations(document)}
    for under, more in (("", "idempotency_mismatch"), ("_shared", "kind_refused")):
        for name in (f"upload{under}_file", f"upload{under}_raw"):
            examples = said[name]["422"]["content"][PROBLEM_JSON]["examples"]
            assert {"unprocessable", "validation_failed", more} <= set(examples)


def test_every_route_for_the_signed_in_documents_that_it_may_refuse_them(document: dict[str, Any]) -> None:
    for _, _, said in operations(document):
        if said.get("security"):
            examples = said["responses"]["401"]["content"][PROBLEM_JSON]["examples"]
            assert "not_signed_in" in examples
            assert "503" in said["responses"]


def test_every_answer_with_a_body_has_a_schema(document: dict[str, Any]) -> None:
    for method, _, said in operations(document):
        for status, answer in said["responses"].items():
            if status < "300" and status != "204" and method != "HEAD":
                assert all(content["schema"] for content in answer["content"].values())


def test_every_answer_is_described_in_words_of_our_own_and_has_an_id(document: dict[str, Any]) -> None:
    for _, _, said in operations(document):
        for answer in said["responses"].values():
            assert answer["description"] != "Successful Response"
            assert answer["headers"]["X-Request-ID"]["required"] is True


def test_a_token_request_has_types_that_generators_keep(document: dict[str, Any]) -> None:
    (content,) = document["paths"]["/api/v1/auth/token"]["post"]["requestBody"]["content"].values()
    form = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    assert form["properties"]["grant_type"]["enum"] == ["password", "refresh_token"]
    assert form["required"] == ["grant_type"]
    assert {field["default"] for name, field in form["properties"].items() if name != "grant_type"} == {""}


async def test_a_refused_method_is_told_the_ones_of_the_document(app: FastAPI, document: dict[str, Any]) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for path, verbs in document["paths"].items():
            answer = await client.request("TRACE", re.sub(r"\{\w+_id\}", SOME_ID, path))
            assert answer.status_code == 405
            told = {method.upper() for method in verbs} | ({"HEAD"} if "get" in verbs else set())
            assert set(answer.headers["allow"].split(", ")) == told


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("format") == "binary" or "contentMediaType" in node:
            yield node
        for child in node.values():
            yield from schemas(child)
    elif isinstance(node, list):
        for child in node:
            yield from schemas(child)


def test_every_binary_schema_says_so_in_both_spellings(document: dict[str, Any]) -> None:
    found = list(schemas(document))
    assert len(found) == 2 * 4  # one form field, one raw body, one whole and one partial download, also by a link
    for schema in found:
        assert schema == {
            "type": "string",
            "format": "binary",
            "contentMediaType": "application/octet-stream",
        }


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_every_reference_leads_somewhere_and_every_schema_is_used(document: dict[str, Any]) -> None:
    used = {reference.removeprefix("#/components/") for reference in references(document)}
    kinds = ("schemas", "parameters", "responses", "headers", "examples")
    assert used == {f"{kind}/{name}" for kind in kinds for name in document["components"][kind]}


def test_every_model_shows_an_example_that_is_one(document: dict[str, Any]) -> None:
    schemas_of = document["components"]["schemas"]
    models = {name for name, schema in schemas_of.items() if "properties" in schema} - {"HealthOut"}
    assert {
        "FileOut",
        "TokenOut",
        "MeOut",
        "UserOut",
        "CaseOut",
        "BreakGlassOut",
        "RegisterRequest",
        "Problem",
    } <= models
    for name in models:
        schema = document["components"]["schemas"][name]
        assert set(schema["example"]) <= set(schema["properties"])
        assert set(schema.get("required", ())) <= set(schema["example"])


def test_no_schema_speaks_of_keys_paths_or_salts(document: dict[str, Any]) -> None:
    words = re.compile(r"(?i)(wrapped|salt|commitment|data_key(?!s$)|blob|store|path$|password_hash|record)")
    for schema in document["components"]["schemas"].values():
        assert not [name for name in schema.get("properties", {}) if words.search(name)]


async def test_the_served_document_is_the_documented_one(app: FastAPI, document: dict[str, Any]) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert (await client.get("/openapi.json")).json() == document
        page = await client.get("/docs")
    policy = page.headers["content-security-policy"]
    for directive in ("default-src", "base-uri", "frame-ancestors", "object-src"):
        assert f"{directive} 'none'" in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert not re.findall(r"https?://", page.text)


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/swagger-ui.css", "/redoc", "/metrics", "/.env"])
async def test_what_is_switched_off_or_never_was_is_not_there(path: str) -> None:
    quiet = create_app(*settings(DOCS="false"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(quiet), base_url="http://localhost") as client:
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("query", ["configUrl=https://evil.example/c.json", "url=//evil.example/o.json", "urls=x"])
async def test_the_documents_take_nothing_from_their_address(app: FastAPI, query: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        plain, asked = await client.get("/docs"), await client.get(f"/docs?{query}")
    assert asked.text == plain.text
    assert "queryConfigEnabled" not in plain.text
    assert "connect-src 'self'" in asked.headers["content-security-policy"]


@pytest.mark.parametrize("asset", ["../config.py", "..%2F..%2Fconfig.py", "index.html", "swagger-ui-bundle.js.map"])
async def test_assets_are_the_three_that_are_named(app: FastAPI, asset: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert (await client.get(f"/docs/{asset}")).status_code == 404
        assert (await client.get("/docs/favicon.png")).headers["content-type"] == "image/png"


async def test_nobody_is_told_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """FastAPI tells OpenTelemetry of each request and error, wherever the process or its environment sets that up."""

    def told() -> None:
        raise AssertionError("a provider was asked for")

    for provider in ("trace.get_tracer_provider", "metrics.get_meter_provider", "_logs.get_logger_provider"):
        monkeypatch.setattr(f"opentelemetry.{provider}", told)
    made = create_app(*settings())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://localhost") as client:
        assert (await client.get("/healthz")).status_code == 200


def test_an_app_is_made_without_opening_anything(tmp_path: Path) -> None:
    nowhere = tmp_path / "var"
    made = create_app(*settings(DATA_DIR=str(nowhere), DATABASE_URL="postgresql://u:p@nowhere.invalid/d"))
    assert made.openapi()["paths"]
    assert not nowhere.exists()


def test_nothing_in_the_stack_buffers_answers(app: FastAPI) -> None:
    classes = [entry.cls for entry in app.user_middleware]
    assert RequestContext.__name__ in [getattr(cls, "__name__", "") for cls in classes]
    assert not [entry for entry in classes if isinstance(entry, type) and issubclass(entry, BaseHTTPMiddleware)]
    node: Any = app.build_middleware_stack()
    depth = 0
    while node is not None:
        assert not isinstance(node, BaseHTTPMiddleware)
        node, depth = getattr(node, "app", None) or getattr(node, "_app", None), depth + 1
    assert depth > len(classes)


def identifiers(module: Path) -> Iterator[str]:
    """Every name that a module imports, uses or calls on something."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom | ast.Import):
            yield from (alias.name.rpartition(".")[2] for alias in node.names)
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield f".{node.func.attr}()"


FORBIDDEN = {
    "UploadFile": "spools the body in clear",
    "File": "spools the body in clear",
    "Form": "spools the body in clear",
    "OAuth2PasswordRequestForm": "spools the body in clear",
    ".form()": "spools the body in clear",
    "SpooledTemporaryFile": "is a file in clear",
    "BaseHTTPMiddleware": "ends a broken download as if it were whole",
    ".middleware()": "is BaseHTTPMiddleware by another name",
    "BackgroundTask": "is lost in a crash",
    "BackgroundTasks": "is lost in a crash",
    "FileResponse": "says names as they are",
}


def test_no_module_uses_what_is_forbidden() -> None:
    found = {module.name: set(identifiers(module)) & set(FORBIDDEN) for module in MODULES}
    assert not {name: used for name, used in found.items() if used}


def test_every_module_says_what_it_is_for() -> None:
    for module in MODULES:
        said = ast.get_docstring(ast.parse(module.read_text("utf-8")))
        assert said, module
        assert said.splitlines()[0][-1] in ".?:;,|)" or len(said.splitlines()) > 1, module


HTTP = re.compile(r".*(routes|schemas)|deps|openapi|http|request_bodies|refusals")
"""Modules of a feature that speak HTTP; every other is in the contract."""


def test_every_module_of_a_feature_that_is_no_door_speaks_no_http() -> None:
    linter = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = [one for one in linter["contracts"] if one["name"] == "Services speak no HTTP"]
    modules = [
        path.relative_to(SOURCE / "features").with_suffix("").parts[:2] for path in MODULES if "features" in path.parts
    ]
    for feature, *child in modules:
        names = {f"portal.features.{feature}", *(f"portal.features.{feature}.{name}" for name in child)}
        held = names & set(contract["source_modules"])
        assert held or not child or child == ["__init__"] or HTTP.fullmatch(child[0]), names


def test_the_source_was_looked_at() -> None:
    assert len(MODULES) > 60
    assert ".receive()" in set(identifiers(SOURCE / "web" / "bodies.py"))
