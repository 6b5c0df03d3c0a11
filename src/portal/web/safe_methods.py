"""HEAD and conditional GET for every route: HEAD where there is GET, If-Match and If-None-Match where there is an ETag.

Comes in: a request. Leaves: the route's response to GET; without its body for HEAD, as a 304 if the client has this
version already, or as a 412 if it requires another one. A download checks the same conditions before it begins
(`files/http/responses`): here it would be too late.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.core.errors import PreconditionFailed
from portal.core.ranges import NotModified
from portal.web import errors
from portal.web.conditional_requests import preconditions

_OF_A_BODY = ("content-length", "content-type")
_CONDITIONS = (b"if-match", b"if-none-match")


class SafeMethods:
    """Handles HEAD and conditional reads, in pure ASGI. It is the innermost middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        bodiless = scope["method"] == "HEAD"
        if not bodiless and not any(name in _CONDITIONS for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        if bodiless and "HEAD" not in errors.methods_of(scope):
            scope = {**scope, "method": "GET"}
        answer = _Answer(scope, receive, send, bodiless=bodiless)
        await self._app(scope, receive, answer.send)


class _Answer:
    """One response: its messages are passed on, stripped of the body, or replaced by a 304 or a 412."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, bodiless: bool) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._bodiless, self._replaced = bodiless, False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            await self._start(message)
        elif message["type"] == "http.response.body" and self._replaced:
            return
        elif message["type"] == "http.response.body" and self._bodiless:
            await self._send({**message, "body": b""})
        else:
            await self._send(message)

    async def _start(self, message: Message) -> None:
        tag = Headers(scope=message).get("etag")
        try:
            if tag is not None:
                preconditions(Headers(scope=self._scope)).judge(tag)
            await self._send(message)
        except NotModified:
            self._replaced = True
            headers = MutableHeaders(scope=message)
            for name in _OF_A_BODY:
                del headers[name]
            await self._send({**message, "status": 304})
            await self._send({"type": "http.response.body", "body": b""})
        except PreconditionFailed as failed:
            self._replaced = True
            told = errors.problem(failed, self._scope.get("state", {}).get("request_id"))
            await told(self._scope, self._receive, self._without_body)

    async def _without_body(self, message: Message) -> None:
        if message["type"] == "http.response.body" and self._bodiless:
            message = {**message, "body": b""}
        await self._send(message)
