"""The middleware, in pure ASGI, outermost first: `RequestContext`, `SecurityHeaders`, `BodyLimit`, (CORS,)
`CatchUnhandled`, `HeadValidation`.

Comes in: requests that uvicorn parsed. Leaves: requests whose head is unambiguous and within limits; or a problem
document. Next: the router.
"""

import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from urllib.parse import unquote_to_bytes

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.core import log, tasks
from portal.core.errors import InvalidInput, PortalError, PortalStopped
from portal.core.ids import new_id
from portal.web import errors
from portal.web.addresses import Addresses
from portal.web.framing import HeadTooLarge, TargetTooLong, body_length
from portal.web.streaming import DownloadAborted
from portal.web.validation import told_name

POLICY = (  # the directives that `default-src` does not cover, and object-src for old browsers
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; sandbox"
)
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 << 10
MAX_TARGET_BYTES = 8 << 10
MAX_JSON_BYTES = 1 << 20

_PROBED = ("/healthz", "/readyz")  # orchestrators call them by a pod's address; their answer does not depend on Host
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.ASCII)  # RFC 9110 §7.2
_SINGLE = (b"authorization", b"content-type", b"idempotency-key", b"if-match", b"if-range", b"range")

_log = log.get("portal.access")


class RequestContext:
    """Gives every request an id and a client address, and logs one line per response."""

    def __init__(self, app: ASGIApp, trusted_proxies: Iterable[str]) -> None:
        self._app = app
        self._addresses = Addresses(trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tasks.track_current_task()
        request_id, started, status = str(new_id()), time.monotonic(), 0
        state = scope.setdefault("state", {})
        state.update(request_id=request_id, address=self._addresses.of(scope))

        async def labelled(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with log.bound(request_id=request_id):
            try:
                await self._app(scope, receive, labelled)
            finally:
                took = round((time.monotonic() - started) * 1000, 1)
                whose = {"address": state["address"], "caller": state.get("caller")}
                _log.info(
                    "request", method=scope["method"], path=scope["path"], status=status, milliseconds=took, **whose
                )


def security_headers(*, hsts: str | None) -> dict[str, str]:
    """The security headers of every response; `hsts` is the value of Strict-Transport-Security, None for none."""
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    return headers | ({} if hsts is None else {"Strict-Transport-Security": hsts})


class SecurityHeaders:
    """Adds the security headers to every response; a header that the route set itself stays."""

    def __init__(self, app: ASGIApp, *, hsts: str | None) -> None:
        self._app = app
        given = security_headers(hsts=hsts).items()
        self._headers = [(name.lower().encode(), value.encode()) for name, value in given]  # as ASGI has them

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in self._headers if one[0] not in own)]
            await send(message)

        await self._app(scope, receive, guarded)


class CatchUnhandled:
    """Turns an unexpected exception into a plain 500, and a stop of the portal into a 503. It is inside
    `SecurityHeaders`, so that they have the headers too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noticed(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            with tasks.told_of_stop():
                await self._app(scope, receive, noticed)
        except DownloadAborted:
            raise
        except PortalStopped as stopped:
            if started:
                raise DownloadAborted from None
            await errors.problem(stopped, scope["state"]["request_id"])(scope, receive, send)
        except Exception:
            _log.exception("request_failed", method=scope["method"], started=started)
            if started:
                raise  # the response has begun: only a broken connection tells the client
            await errors.server_error(scope["state"]["request_id"])(scope, receive, send)


class HeadValidation:
    """Refuses a head that is ambiguous, too large, or for a host that is not the portal's (RFC 9112 §3.2, §6)."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = tuple(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            _check_head(scope)
            self._check_host([value for name, value in scope["headers"] if name == b"host"], scope["path"])
        except PortalError as error:
            answer = errors.problem(error, scope["state"]["request_id"])
            if scope["http_version"].startswith("1"):
                answer.headers["Connection"] = "close"  # the bytes behind such a head cannot be read as a request
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, given: list[bytes], path: str) -> None:
        match = _HOST.fullmatch(given[0].decode("latin-1").lower()) if len(given) == 1 else None
        if match and path in _PROBED:
            return
        if match is None or not any(_host_matches(match[1], allowed) for allowed in self._hosts):
            raise InvalidInput(
                "The Host header is missing, repeated or not one of the portal's (PORTAL_ALLOWED_HOSTS)."
            )


class BodyLimit:
    """Limits bodies that are not streamed to `MAX_JSON_BYTES`, and closes a connection whose body was not read to its
    end.

    Without the second, a client that was refused early would go on sending, and the server would go on reading.
    """

    def __init__(self, app: ASGIApp, streams: Callable[[Scope], bool]) -> None:
        self._app = app
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = _announced(scope)
        done, taken = announced == 0, 0
        limit = None if self._streams(scope) else MAX_JSON_BYTES

        async def counted() -> Message:
            nonlocal done, taken
            if limit is not None and announced is not None and announced > limit:
                raise HTTPException(413)  # only when the body is read: an unknown path is a 404 first
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                done = not message.get("more_body", False)
                if limit is not None and taken > limit:
                    done = False
                    raise HTTPException(413)
            return message

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and not done and scope["http_version"].startswith("1"):
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, counted, closing)


def _check_head(scope: Scope) -> None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise HeadTooLarge
    target = scope.get("raw_path") or scope["path"].encode()
    if len(target) + len(scope["query_string"]) > MAX_TARGET_BYTES:
        raise TargetTooLong
    names = [name for name, _ in headers]
    repeated = [name.decode().title() for name in _SINGLE if names.count(name) > 1]
    if repeated:
        raise InvalidInput(f"A header is repeated: send {' and '.join(repeated)} once.")
    body_length(headers, scope["http_version"])
    _check_target(target, scope["query_string"])


def _check_target(path: bytes, query: bytes) -> None:
    """Path and query must be percent-encoded UTF-8 without NUL, and no query parameter may be repeated: implementations
    disagree on which of two counts. Raises InvalidInput, ValidationFailed.
    """
    for part in (path, query):
        try:
            text = unquote_to_bytes(part).decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidInput("The path or query is not percent-encoded UTF-8.") from None
        if "\0" in text or (part is path and any(character < " " for character in text)):
            raise InvalidInput("The path or query holds a control character.")
    names = [unquote_to_bytes(pair.partition(b"=")[0].replace(b"+", b" ")) for pair in query.split(b"&") if pair]
    repeated = next((name for name, count in Counter(names).items() if count > 1), None)
    if repeated is not None:
        name = told_name(repeated.decode("latin-1"))
        raise errors.ValidationFailed.of("query", name, "is repeated: send it once" if name else "a name is repeated")


def _announced(scope: Scope) -> int | None:
    """The body's length in bytes; None for a chunked body or an ambiguous head."""
    with contextlib.suppress(InvalidInput):  # `HeadValidation` refuses it
        return body_length(scope["headers"], scope["http_version"])
    return None


def _host_matches(name: str, allowed: str) -> bool:
    return allowed in {"*", name} or (allowed.startswith("*.") and name.endswith(allowed[1:]))
