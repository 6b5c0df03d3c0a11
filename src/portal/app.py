"""The HTTP application: the features' routes, middleware, error handlers, lifespan.

Comes in: settings. Leaves: an ASGI app. A feature is a folder, and a line for each of its routers in `FEATURES`.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Lifespan

from portal import config
from portal.background import background
from portal.bootstrap import open_counters, open_portal
from portal.core import log
from portal.core.errors import PortalError
from portal.core.parent_process import tied_to_parent
from portal.core.principal import Origin
from portal.features.admin import jobs_routes, keys_routes, reencrypt_routes
from portal.features.audit.service import Audit
from portal.features.cases import routes as cases_routes
from portal.features.custody import routes as custody_routes
from portal.features.files.http import inbox_routes, rights_routes
from portal.features.files.http import routes as files_routes
from portal.features.identity import accounts_routes, own_account_routes, session_routes
from portal.features.identity import routes as identity_routes
from portal.features.identity.refusals import refusal_of
from portal.features.links import routes as links_routes
from portal.features.links import shared_routes
from portal.features.signing import routes as signing_routes
from portal.features.tokens import routes as tokens_routes
from portal.settings import Settings
from portal.web import docs_pages, errors, health, openapi
from portal.web.bodies import streaming_of, streams
from portal.web.limits import Limits, RateLimitHeaders, classes_of
from portal.web.middleware import BodyLimit, CatchUnhandled, HeadValidation, RequestContext, SecurityHeaders
from portal.web.routing import RouteTable
from portal.web.safe_methods import SafeMethods
from portal.web.streaming import DownloadAborted
from portal.web.watchdog import BodyWatchdog

FEATURES: tuple[APIRouter, ...] = (  # the OpenAPI document has them in this order
    files_routes.router,
    shared_routes.router,
    identity_routes.router,
    own_account_routes.router,
    session_routes.router,
    accounts_routes.router,
    tokens_routes.router,
    cases_routes.router,
    rights_routes.router,
    inbox_routes.router,
    links_routes.router,
    jobs_routes.router,
    keys_routes.router,
    reencrypt_routes.router,
    custody_routes.router,
    signing_routes.router,
)

_EXPOSED = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "ETag",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Repr-Digest",
    "Retry-After",
    "X-Request-ID",
)
_ALLOWED = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "If-Range",
    "Range",
    "Repr-Digest",
    "X-API-Token",
    *("X-Requested-With", "baggage", "sentry-trace", "traceparent", "tracestate"),  # of fetch libraries and tracing
)
_DESCRIPTION = """An encrypted file portal: every upload is hashed, scanned and encrypted on its way; only ciphertext
is stored.

1. **Sign in**: `POST /api/v1/auth/token` with name and password gives an access token. Send it as
   `Authorization: Bearer <token>`; on this page press *Authorize*. For scripts
   make an API token (`POST /api/v1/tokens`).
2. **Upload**: `PUT /api/v1/upload/<name>` takes the file as the body, `POST /api/v1/files` as a form.
3. **Find and download**: `GET /api/v1/files`, then `GET /api/v1/files/{file_id}/content`, whole or by `Range`.

Every error is a problem document (RFC 9457): programs read `code`. A change needs `If-Match` with the version that was
read. Every answer has an `X-Request-ID`, and tells by `RateLimit` how many requests are left.
A head that is too large is refused everywhere (`414 target_too_long`, `431 head_too_large`).
"""
_TAGS = {
    "auth": "Sign in, refresh, sign out, and set a password with a one-time secret.",
    "files": "Upload, find, change, move, delete and download files, and let others read them.",
    "cases": "Cases, their members, and administrators who read in them in an emergency.",
    "links": "Links for people without an account: to download by, or to upload by.",
    "shared": "What the holder of a link does with it.",
    "tokens": "API tokens, for scripts and services.",
    "account": "Your own account: password and authenticator.",
    "administration": "Accounts, invitations, jobs and keys, for administrators.",
    "receipts": "What the portal signed, and the keys that verify it.",
    "health": "For load balancers and monitors.",
}
"""The tags of the OpenAPI document, in the order in which they are shown."""
_log = log.get(__name__)


def serve_app() -> FastAPI:
    """The factory that uvicorn calls in every worker: reads settings, sets up the log. Raises ConfigError."""
    settings, variables = config.load()
    log.configure(settings.log_level, settings.log_file)
    log.silence("uvicorn.error", DownloadAborted)
    return create_app(settings, variables)


def create_app(settings: Settings, variables: Mapping[str, str]) -> FastAPI:
    """The app. It opens no backend; its lifespan opens the portal."""
    app = FastAPI(
        title="portal",
        version=version("portal"),
        openapi_url=None,
        docs_url=None,
        redirect_slashes=False,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        lifespan=_lifespan(settings, variables),
        middleware=_middleware(settings),
    )
    app.state.limits = Limits(settings.rates, open_counters(settings))
    app.state.readiness = health.Readiness(lambda: _checks(app))
    errors.install(app, _note_refusal)
    aside = [health.router(app.state.readiness), docs_pages.front(docs=settings.serves_docs)]
    if settings.serves_docs:
        aside.append(docs_pages.router(app, partial(document_of, app)))
    for router in (*FEATURES, *aside):
        app.routes.extend(router.routes)  # flat, as they are: FastAPI would make each of them again to include them
    classes_of(app.routes)  # a route without a rate stops the start
    app.state.streaming = streaming_of(app.routes)
    app.router.middleware_stack = RouteTable(app.router.middleware_stack, app.routes)
    return app


def document_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an app made by `create_app`. It does not depend on any setting."""
    return openapi.document_of(app, description=_DESCRIPTION, tags=_TAGS)


def _lifespan(settings: Settings, variables: Mapping[str, str]) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.aclosing(app.state.limits), open_portal(settings, variables) as portal:
            for warning in portal.warnings:
                _log.warning("scanner_warning", text=warning)
            app.state.portal = portal
            async with background(portal, jobs_at_once=settings.max_jobs), contextlib.aclosing(app.state.readiness):
                with tied_to_parent():
                    yield

    return lifespan


def _middleware(settings: Settings) -> list[Middleware]:
    """The middleware, outermost first."""
    return [
        Middleware(RequestContext, trusted_proxies=settings.trusted_proxies),
        Middleware(SecurityHeaders, hsts=settings.hsts),
        Middleware(BodyLimit, streams=streams),
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=_ALLOWED,
            expose_headers=_EXPOSED,
        ),
        Middleware(RateLimitHeaders),
        Middleware(CatchUnhandled),
        Middleware(BodyWatchdog, client_timeouts=settings.client_timeouts),
        Middleware(HeadValidation, allowed_hosts=settings.allowed_hosts),
        Middleware(SafeMethods),
    ]


def _note_refusal(request: Request, error: PortalError) -> None:
    audit: Audit | None = getattr(getattr(request.app.state, "portal", None), "audit", None)  # None: no portal is open
    refusal = refusal_of(request, error)
    if audit is not None and refusal is not None:
        audit.refusals.note(refusal, Origin(errors.request_id_of(request), refusal.address))


def _checks(app: FastAPI) -> health.Checks:
    resources = app.state.portal.resources
    return {
        "database": resources.database.check,
        "blob store": resources.stores.check,
        "key provider": resources.keyring.check_providers,
    }
