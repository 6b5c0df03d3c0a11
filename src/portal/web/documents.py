"""The OpenAPI document and Swagger UI, served from the package: no CDN, a strict content security policy.

Comes in: the app. Leaves: /openapi.json, /docs and its two assets (they come with the `fastapi-offline` package).
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.responses import HTMLResponse, JSONResponse, Response

from portal.core.errors import InvalidInput, NotFound
from portal.web.errors import Problem, documented
from portal.web.limits import Limits, tell_of_limits
from portal.web.middleware import HeadTooLarge, TargetTooLong
from portal.web.streaming import OCTET_STREAM

BINARY: dict[str, str] = {"type": "string", "format": "binary", "contentMediaType": OCTET_STREAM}
"""Both spellings of "bytes": SDK generators understand one or the other."""

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_REQUEST_ID = {
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
    "description": "Names this request in the portal's log.",
}
_IF_MATCH = r'^("(0|[1-9]\d{0,8})"|\*)$'  # what can match at all
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def taken_as_json(model: type[BaseModel]) -> dict[str, Any]:
    """What a route says of a body that its dependency parses; `install` is told the model."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def install(app: FastAPI, *, description: str, limits: Limits, bodies: Sequence[type[BaseModel]] = ()) -> None:
    """Serve the documents. Call it after every route is in place. `bodies` are models that dependencies parse."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=description,
        routes=app.routes,
        servers=[{"url": "/"}],
        tags=[{"name": name} for name in ("auth", "users", "tokens", "cases", "files", "links", "shared", "health")],
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    models: tuple[type[BaseModel], ...] = (Problem, *bodies)
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    _point_validation_errors_at_problems(document)
    for operations in document["paths"].values():
        for operation in operations.values():
            if limits.covers(operation["operationId"]):
                tell_of_limits(operation)
            _tell_what_every_route_shares(operation)
    app.openapi = lambda: document  # type: ignore[method-assign]  # FastAPI's documented way
    app.include_router(_router(document), include_in_schema=False)


def _router(document: dict[str, Any]) -> APIRouter:
    router = APIRouter()
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=str(document["info"]["title"]),
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon.png",
        swagger_ui_parameters={"persistAuthorization": False, "tryItOutEnabled": True},
    )
    headers = {"Content-Security-Policy": _policy(bytes(page.body))}

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return JSONResponse(document)

    @router.get("/docs")
    async def docs() -> Response:
        return HTMLResponse(page.body, headers=headers)

    @router.get("/docs/{asset}")
    async def asset(asset: str) -> Response:
        if asset not in _ASSETS:
            raise NotFound
        content = files("fastapi_offline").joinpath("static", asset).read_bytes()
        return Response(content, media_type=_ASSETS[asset], headers={"Cache-Control": "public, max-age=3600"})

    return router


def _policy(page: bytes) -> str:
    """Only our own assets, and of inline scripts only the one this page has. Swagger UI sets inline styles."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(page)
    )
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _tell_what_every_route_shares(operation: dict[str, Any]) -> None:
    """The gate's refusals, an id on every answer, no token where none is needed, If-Match where a change needs it."""
    shared = documented(InvalidInput, HeadTooLarge, TargetTooLong)
    for status, answer in shared.items():
        operation["responses"].setdefault(str(status), answer)
    for answer in operation["responses"].values():
        answer["headers"] = answer.get("headers", {}) | {"X-Request-ID": _REQUEST_ID}
    operation.setdefault("security", [])
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "if-match":
            parameter |= {"name": "If-Match", "required": True, "schema": {"type": "string", "pattern": _IF_MATCH}}


def _point_validation_errors_at_problems(document: dict[str, Any]) -> None:
    """FastAPI documents its own 422 body; ours is a problem like any other."""
    for operations in document["paths"].values():
        for operation in operations.values():
            answer = operation["responses"].get("422", {})
            if "application/json" in answer.get("content", {}):
                answer["description"] = "A field or parameter is missing, unknown or not acceptable."
                answer["content"] = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
