"""The OpenAPI document and Swagger UI, served from the package: no CDN, a strict content security policy.

Comes in: the document from `openapi`. Leaves: the routes /openapi.json and /docs with its assets (from the
`fastapi-offline` package), and `/`.
"""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from portal.core.errors import NotFound
from portal.web import API, routing
from portal.web.limits import unlimited
from portal.web.streaming import OCTET_STREAM

BINARY: dict[str, str] = {"type": "string", "format": "binary", "contentMediaType": OCTET_STREAM}
"""The schema of binary content, in both spellings (OpenAPI 3.0 and 3.1): SDK generators understand one or the other."""

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_STYLE = b"""<style>
/* OAuth2's fields that mean nothing here (there are no clients, and an account has one role), and a third place for a
   token: `bearer` takes API tokens too, and the last field would take the cursor and scroll the others away. */
.auth-container:has(#api_key_value),
.auth-container .scopes, .auth-container div:has(> label[for^="client_"]),
.auth-container div:has(> label[for="password_type"]) { display: none }
</style>"""
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def router(app: FastAPI, build: Callable[[], dict[str, Any]]) -> APIRouter:
    """The routes of the document and of Swagger UI. The document is built when it is first asked for."""
    document = cache(build)
    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way
    return _router(app.title, document)


def front(*, docs: bool) -> APIRouter:
    """The route `/`: a redirect to Swagger UI, or, if that is switched off, JSON with two paths. It never shows a
    version.
    """
    router = routing.router(prefix="")

    @router.get("/", include_in_schema=False)
    @unlimited
    async def front() -> Response:
        return RedirectResponse("/docs") if docs else JSONResponse({"name": "portal", "api": API, "health": "/healthz"})

    return router


def _router(title: str, document: Callable[[], dict[str, Any]]) -> APIRouter:
    router = routing.router(prefix="")
    page = _page(title)
    headers = {"Content-Security-Policy": _policy(page)}

    @cache
    def written() -> bytes:
        return json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode()

    @router.get("/openapi.json", include_in_schema=False)
    @unlimited
    async def openapi() -> Response:
        return Response(await asyncio.to_thread(written), media_type="application/json")

    @router.get("/docs", include_in_schema=False)
    @unlimited
    async def docs() -> Response:
        return HTMLResponse(page, headers=headers)

    @router.get("/docs/{asset}", include_in_schema=False)
    @unlimited
    async def asset(asset: str) -> Response:
        if asset not in _ASSETS:
            raise NotFound
        content = files("fastapi_offline").joinpath("static", asset).read_bytes()
        return Response(content, media_type=_ASSETS[asset], headers={"Cache-Control": "public, max-age=3600"})

    return router


def _page(title: str) -> bytes:
    """The page of Swagger UI: operations collapsed, with a filter by name, without the list of schemas."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=title,
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon.png",
        swagger_ui_parameters={
            "persistAuthorization": False,
            "tryItOutEnabled": True,
            "docExpansion": "none",
            "filter": True,
            "defaultModelsExpandDepth": -1,
            "displayRequestDuration": True,
        },
    )
    return bytes(page.body).replace(b"</head>", _STYLE + b"</head>")


def _policy(page: bytes) -> str:
    """The content security policy: the portal's own assets, and the inline script of this page by its hash.

    Inline styles are allowed because Swagger UI sets them.
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(page)
    )
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
    )
