"""The way in, class by class: whose address is believed, which heads are refused, how bodies and bugs end."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
import structlog
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.core import tasks
from portal.web.middleware import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_JSON_BYTES,
    MAX_TARGET_BYTES,
    BodyLimit,
    CatchUnhandled,
    HeadValidation,
    RequestContext,
    SecurityHeaders,
)
from portal.web.streaming import DownloadAborted

Headers = list[tuple[bytes, bytes]]
Lines = list[dict[str, Any]]
HOST: Headers = [(b"host", b"portal.example")]


def scope(headers: Headers | None = None, **changes: Any) -> Scope:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": HOST if headers is None else headers,
        "client": ("192.0.2.1", 50_000),
        "state": {"request_id": "an id"},
        **changes,
    }


class Exchange:
    """One request and everything that was answered."""

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self._pieces = list(pieces) or [b""]
        self._ends = ends
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if not self._pieces:
            return {"type": "http.disconnect"}
        body = self._pieces.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self._pieces) or not self._ends}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self, app: ASGIApp, over: Scope) -> "Exchange":
        await app(over, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def problem(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(b"".join(message.get("body", b"") for message in self.sent))
        return told


TLS_ALONE = "max-age=63072000; includeSubDomains"


async def hello(over: Scope, receive: Receive, send: Send) -> None:
    """Answers without reading."""
    await PlainTextResponse("hello")(over, receive, send)


async def reads(over: Scope, receive: Receive, send: Send) -> None:
    """Reads the whole body, then answers its length."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await PlainTextResponse(str(size))(over, receive, send)


async def through_gate(headers: Headers | None = None, hosts: str = "portal.example", **changes: Any) -> Exchange:
    return await Exchange().run(HeadValidation(hello, hosts.split(",")), scope(headers, **changes))


HEADS: dict[str, tuple[Headers, int]] = {
    "a credential twice": ([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], 400),
    "a type twice": ([(b"content-type", b"a/b"), (b"content-type", b"c/d")], 400),
    "a range twice": ([(b"range", b"bytes=0-1"), (b"range", b"bytes=2-3")], 400),
    "a condition twice": ([(b"if-match", b'"1"'), (b"if-match", b'"2"')], 400),
    "a key twice": ([(b"idempotency-key", b"a"), (b"idempotency-key", b"a")], 400),
    "a list in two lines": ([(b"repr-digest", b"a=:AA==:"), (b"repr-digest", b"b=:AA==:")], 200),
    "one length": ([(b"content-length", b"3")], 200),
    "chunked": ([(b"transfer-encoding", b"chunked")], 200),
    "chunked, shouted": ([(b"transfer-encoding", b" Chunked ")], 200),
    "a length twice": ([(b"content-length", b"3"), (b"content-length", b"3")], 400),
    "two lengths": ([(b"content-length", b"3"), (b"content-length", b"4")], 400),
    "a length with a sign": ([(b"content-length", b"+3")], 400),
    "a negative length": ([(b"content-length", b"-1")], 400),
    "a length with an underscore": ([(b"content-length", b"1_0")], 400),
    "a list of lengths": ([(b"content-length", b"3, 3")], 400),
    "an empty length": ([(b"content-length", b"")], 400),
    "a length in hex": ([(b"content-length", b"0x3")], 400),
    "a length of 5,000 digits": ([(b"content-length", b"9" * 5000)], 400),
    "chunked and a length": ([(b"transfer-encoding", b"chunked"), (b"content-length", b"3")], 400),
    "gzip, then chunked": ([(b"transfer-encoding", b"gzip, chunked")], 400),
    "chunked, then identity": ([(b"transfer-encoding", b"chunked, identity")], 400),
    "chunked twice": ([(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")], 400),
    "chunked twice in one": ([(b"transfer-encoding", b"chunked, chunked")], 400),
    "identity": ([(b"transfer-encoding", b"identity")], 400),
    "an unknown coding": ([(b"transfer-encoding", b"xchunked")], 400),
    "a vertical tab before chunked": ([(b"transfer-encoding", b"\x0bchunkedx")], 400),
    "an empty coding": ([(b"transfer-encoding", b"")], 400),
    "a hundred headers": ([(b"x", b"y")] * (MAX_HEADERS - 1), 200),
    "a header more": ([(b"x", b"y")] * MAX_HEADERS, 431),
    "5,000 headers": ([(b"x", b"y")] * 5000, 431),
    "large headers": ([(b"x", b"y" * (MAX_HEADER_BYTES - 100))], 200),
    "too large a header": ([(b"x", b"y" * MAX_HEADER_BYTES)], 431),
    "too large a header name": ([(b"x" * MAX_HEADER_BYTES, b"y")], 431),
    "too large together": ([(b"x", b"y" * 1000)] * 40, 431),
}


@pytest.mark.parametrize(("headers", "status"), HEADS.values(), ids=HEADS)
async def test_a_head_that_could_be_read_in_two_ways_is_refused(headers: Headers, status: int) -> None:
    assert (await through_gate(HOST + headers)).status == status


async def test_http_1_0_knows_no_transfer_coding() -> None:
    chunked = [*HOST, (b"transfer-encoding", b"chunked")]
    assert (await through_gate(chunked, http_version="1.0")).status == 400
    assert (await through_gate(HOST, http_version="1.0")).status == 200


HOSTS: dict[str, tuple[list[bytes], int]] = {
    "the host": ([b"portal.example"], 200),
    "the host, shouted": ([b"PORTAL.Example"], 200),
    "the host with a port": ([b"portal.example:8443"], 200),
    "another host": ([b"evil.example"], 400),
    "a longer host": ([b"portal.example.evil.example"], 400),
    "a prefix of the host": ([b"xportal.example"], 400),
    "a subdomain of the host": ([b"a.portal.example"], 400),
    "no host": ([], 400),
    "an empty host": ([b""], 400),
    "a port alone": ([b":8000"], 400),
    "two hosts": ([b"portal.example", b"portal.example"], 400),
    "two hosts in one": ([b"portal.example,evil.example"], 400),
    "a path behind the host": ([b"portal.example/admin?"], 400),
    "a user behind the port": ([b"portal.example:80@evil.example"], 400),
    "a path behind the port": ([b"portal.example:/admin?"], 400),
    "text behind an address": ([b"[::1]evil.example"], 400),
    "a user before the host": ([b"user@portal.example"], 400),
    "an unclosed bracket": ([b"[::1"], 400),
    "bytes that are no text": ([b"\xff\xfe"], 400),
}


@pytest.mark.parametrize(("hosts", "status"), HOSTS.values(), ids=HOSTS)
async def test_a_host_that_is_not_ours_alone_is_refused(hosts: list[bytes], status: int) -> None:
    assert (await through_gate([(b"host", host) for host in hosts])).status == status


@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        ("*.example.org", b"a.example.org", 200),
        ("*.example.org", b"a.b.example.org:443", 200),
        ("*.example.org", b"example.org", 400),
        ("*.example.org", b"evilexample.org", 400),
        ("*.example.org", b"a.example.org.evil.example", 400),
        ("*", b"anything.example", 200),
        ("*", b"", 400),
        ("[::1]", b"[::1]:8000", 200),
        ("[::1]", b"[::2]:8000", 400),
        ("a.example,B.example", b"b.EXAMPLE", 200),
    ],
)
async def test_allowed_hosts_may_be_patterns_and_addresses(allowed: str, host: bytes, status: int) -> None:
    assert (await through_gate([(b"host", host)], hosts=allowed)).status == status


TARGETS: dict[str, tuple[bytes, bytes, int]] = {
    "plain": (b"/api/v1/files", b"limit=1&name=x", 200),
    "UTF-8": ("/é".encode(), "name=ü".encode(), 200),
    "escaped UTF-8": (b"/%C3%A9%F0%9F%94%91", b"name=%C3%BC", 200),
    "an escaped slash": (b"/upload/a%2Fb", b"", 200),
    "a percent sign alone": (b"/100%", b"", 200),
    "escapes that are not UTF-8": (b"/%ff", b"", 400),
    "an escaped surrogate": (b"/%ed%a0%80", b"", 400),
    "an overlong escape": (b"/%c0%af", b"", 400),
    "a query that is not UTF-8": (b"/", b"name=%ff", 400),
    "a NUL": (b"/%00", b"", 400),
    "a NUL in the query": (b"/", b"name=%00", 400),
    "a parameter twice": (b"/", b"s=a&s=b", 422),
    "a parameter twice, equal": (b"/", b"s=a&s=a", 422),
    "a parameter twice, once escaped": (b"/", b"limit=1&%6cimit=2", 422),
    "a parameter twice, spaces spelled differently": (b"/", b"a+b=1&a%20b=2", 422),
    "a line break": (b"/%0a", b"", 400),
    "a parameter twice, once without a value": (b"/", b"s&s=a", 422),
    "empty pairs": (b"/", b"&&s=a&", 200),
    "a long path": (b"/" + b"a" * (MAX_TARGET_BYTES - 1), b"", 200),
    "too long a path": (b"/" + b"a" * MAX_TARGET_BYTES, b"", 414),
    "too long a query": (b"/", b"s=" + b"a" * MAX_TARGET_BYTES, 414),
    "too long together": (b"/" + b"a" * 5000, b"s=" + b"a" * 5000, 414),
}


@pytest.mark.parametrize(("path", "query", "status"), TARGETS.values(), ids=TARGETS)
async def test_a_target_is_short_unambiguous_utf_8(path: bytes, query: bytes, status: int) -> None:
    assert (await through_gate(raw_path=path, query_string=query)).status == status


async def test_a_server_without_raw_paths_is_guarded_too() -> None:
    assert (await through_gate(raw_path=None, path="/" + "a" * MAX_TARGET_BYTES)).status == 414


async def test_a_refused_head_is_a_problem_with_the_requests_id_and_no_echo() -> None:
    answer = await through_gate([(b"host", b"c4n4ry.example")])
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.problem["code"], answer.problem["request_id"]) == ("invalid_input", "an id")
    assert "c4n4ry" not in str(answer.problem)


async def body_care(
    app: ASGIApp, *pieces: bytes, headers: Headers | None = None, streams: bool = False, **changes: Any
) -> Exchange:
    given_headers = [(b"transfer-encoding", b"chunked")] if headers is None else headers
    over = scope(HOST + given_headers, method="POST", **changes)
    return await Exchange(*pieces).run(BodyLimit(app, lambda _: streams), over)


def length(size: int) -> Headers:
    return [(b"content-length", str(size).encode())]


async def test_an_announced_body_over_the_cap_is_refused_unread_and_the_connection_closes() -> None:
    answer = await body_care(refusing, headers=length(MAX_JSON_BYTES + 1))
    assert answer.status == 413
    assert answer.headers["connection"] == "close"


async def test_where_nobody_wants_the_body_its_length_is_no_matter() -> None:
    answer = await body_care(hello, headers=length(MAX_JSON_BYTES + 1))
    assert answer.status == 200
    assert answer.headers["connection"] == "close"


async def test_an_announced_body_within_the_cap_is_read_and_the_connection_stays() -> None:
    answer = await body_care(reads, b"x" * MAX_JSON_BYTES, headers=length(MAX_JSON_BYTES))
    assert answer.status == 200
    assert "connection" not in answer.headers


async def refusing(over: Scope, receive: Receive, send: Send) -> None:
    """What the framework makes of an HTTPException."""
    try:
        await reads(over, receive, send)
    except HTTPException as error:
        await PlainTextResponse("no", status_code=error.status_code)(over, receive, send)


async def test_an_unannounced_body_is_counted_while_it_comes() -> None:
    pieces = [b"x" * (1 << 18)] * 5
    answer = await body_care(refusing, *pieces)
    assert answer.status == 413
    assert answer.headers["connection"] == "close"


async def test_an_unannounced_body_may_be_as_large_as_the_cap() -> None:
    answer = await body_care(refusing, b"x" * MAX_JSON_BYTES)
    assert answer.status == 200
    assert "connection" not in answer.headers


async def test_a_route_that_streams_has_a_cap_of_its_own() -> None:
    announced = await body_care(reads, headers=length(1 << 40), streams=True)
    assert announced.status == 200
    counted = await body_care(reads, *[b"x" * (1 << 18)] * 6, streams=True)
    assert counted.status == 200


async def test_a_body_that_nobody_read_closes_the_connection() -> None:
    assert (await body_care(hello, b"abc", headers=length(3))).headers["connection"] == "close"
    assert (await body_care(hello, b"abc")).headers["connection"] == "close"
    assert (await body_care(hello, b"abc", streams=True)).headers["connection"] == "close"


async def test_a_body_read_in_part_closes_the_connection() -> None:
    async def reads_one(over: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await hello(over, receive, send)

    assert (await body_care(reads_one, b"a", b"b")).headers["connection"] == "close"
    assert "connection" not in (await body_care(reads_one, b"ab")).headers


async def test_a_request_without_a_body_keeps_its_connection() -> None:
    for headers in ([], length(0)):
        assert "connection" not in (await body_care(hello, headers=headers)).headers


async def test_http_2_has_no_connection_header() -> None:
    assert "connection" not in (await body_care(hello, b"abc", http_version="2")).headers


async def test_every_answer_says_to_browsers_what_they_may_not_do() -> None:
    headers = (await Exchange().run(SecurityHeaders(hello, hsts=None), scope())).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    for directive in ("default-src", "base-uri", "form-action", "frame-ancestors", "object-src"):
        assert f"{directive} 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "sandbox" in policy
    assert "strict-transport-security" not in headers


async def test_production_insists_on_tls() -> None:
    headers = (await Exchange().run(SecurityHeaders(hello, hsts=TLS_ALONE), scope())).headers
    assert headers["strict-transport-security"] == TLS_ALONE


async def test_what_a_route_says_of_its_own_stands() -> None:
    async def own(over: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("x", headers={"Content-Security-Policy": "script-src 'self'"})(over, receive, send)

    answer = await Exchange().run(SecurityHeaders(own, hsts=None), scope())
    assert answer.headers["content-security-policy"] == "script-src 'self'"
    assert sum(name.lower() == b"content-security-policy" for name, _ in answer.sent[0]["headers"]) == 1


def context(app: ASGIApp, *proxies: str) -> RequestContext:
    return RequestContext(CatchUnhandled(app), trusted_proxies=proxies)


async def test_every_request_has_an_id_of_its_own_in_its_state_and_its_answer() -> None:
    seen = []

    async def app(over: Scope, receive: Receive, send: Send) -> None:
        seen.append(over["state"]["request_id"])
        await hello(over, receive, send)

    answers = [await Exchange().run(context(app), scope(state={})) for _ in range(2)]
    assert [answer.headers["x-request-id"] for answer in answers] == seen
    assert len({UUID(request_id).version for request_id in seen}) == 1
    assert len(set(seen)) == 2


async def test_an_id_that_the_client_sends_is_not_taken() -> None:
    over = scope([*HOST, (b"x-request-id", b"forged")], state={})
    assert (await Exchange().run(context(hello), over)).headers["x-request-id"] != "forged"


async def test_the_address_is_judged_once_for_everybody() -> None:
    over = scope([*HOST, (b"x-forwarded-for", b"6.6.6.6")], client=("10.0.0.1", 1), state={})
    await Exchange().run(context(hello, "10.0.0.0/8"), over)
    assert over["state"]["address"] == "6.6.6.6"


async def fails_before(_over: Scope, _receive: Receive, _send: Send) -> None:
    raise ValueError("c4n4ry before the start")


async def fails_after(over: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ValueError(f"c4n4ry after the start of {over['path']}")


async def test_a_bug_before_the_start_is_a_plain_500_with_an_id() -> None:
    answer = await Exchange().run(context(fails_before), scope(state={}))
    assert answer.status == 500
    assert answer.problem["code"] == "internal_error"
    assert answer.problem["request_id"] == answer.headers["x-request-id"]
    assert "c4n4ry" not in str(answer.sent)


async def test_a_download_that_broke_off_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(_over: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise DownloadAborted

    lines: Lines = []
    monkeypatch.setattr("portal.web.middleware._log", _recording(lines))
    exchange = Exchange()
    with pytest.raises(DownloadAborted):
        await exchange.run(context(breaks), scope(state={}))
    assert [line["event"] for line in lines] == ["request"]
    assert len(exchange.sent) == 1


@pytest.mark.parametrize("begun", [False, True])
async def test_a_request_that_a_stop_cuts_off_is_told_so_or_broken_off(
    begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waits(_over: Scope, _receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    exchange = Exchange()
    request = asyncio.create_task(exchange.run(context(waits), scope(state={})))
    await asyncio.sleep(0)
    monkeypatch.setattr(tasks, "grace_over", asyncio.Event())
    tasks.grace_over.set()
    request.cancel()
    await asyncio.wait([request])
    if begun:
        assert isinstance(request.exception(), DownloadAborted)
        assert len(exchange.sent) == 1
    else:
        assert (exchange.status, exchange.problem["code"]) == (503, "portal_stopped")


async def test_a_request_that_is_cancelled_for_another_reason_is_a_bug() -> None:
    async def cancels(_over: Scope, _receive: Receive, _send: Send) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Exchange().run(context(cancels), scope(state={}))


async def test_the_access_log_says_who_asked_from_where_and_not_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    async def known(over: Scope, receive: Receive, send: Send) -> None:
        over["state"]["caller"] = "user:7"
        await hello(over, receive, send)

    lines: Lines = []
    monkeypatch.setattr("portal.web.middleware._log", _recording(lines))
    for app in (known, hello):
        await Exchange().run(context(app), scope(state={}, query_string=b"q=c4n4ry"))
    assert [(line["address"], line["caller"]) for line in lines] == [("192.0.2.1", "user:7"), ("192.0.2.1", None)]
    assert "c4n4ry" not in str(lines)


async def test_a_bug_is_answered_under_the_security_headers() -> None:
    answer = await Exchange().run(SecurityHeaders(CatchUnhandled(fails_before), hsts=TLS_ALONE), scope())
    assert answer.status == 500
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "strict-transport-security" in answer.headers


async def test_a_bug_after_the_start_breaks_the_connection() -> None:
    exchange = Exchange()
    with pytest.raises(ValueError, match="after the start"):
        await exchange.run(context(fails_after), scope(state={}))
    assert [message["type"] for message in exchange.sent] == ["http.response.start", "http.response.body"]
    assert exchange.sent[-1]["more_body"]


@pytest.mark.parametrize(("app", "status"), [(hello, 200), (fails_before, 500), (fails_after, 200)])
async def test_every_request_leaves_one_line_without_its_query(
    app: ASGIApp, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: Lines = []
    monkeypatch.setattr("portal.web.middleware._log", _recording(lines))
    over = scope(path="/api", query_string=b"token=c4n4ry", state={})
    exchange = Exchange()
    if app is fails_after:
        with pytest.raises(ValueError, match="c4n4ry"):
            await exchange.run(context(app), over)
    else:
        await exchange.run(context(app), over)
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api", status)
    assert line["request_id"] == over["state"]["request_id"]
    assert "c4n4ry" not in str(line)
    assert [line["event"] for line in lines if line["event"] != "request"] == ["request_failed"] * (app is not hello)


def _recording(lines: Lines) -> structlog.stdlib.BoundLogger:
    """A logger whose lines go nowhere but here, with what was bound."""

    def keep(_logger: Any, _method: str, event: Any) -> Any:
        lines.append(dict(event))
        raise structlog.DropEvent

    made: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        None, processors=[structlog.contextvars.merge_contextvars, keep], wrapper_class=structlog.stdlib.BoundLogger
    )
    return made


@pytest.mark.parametrize(
    "make",
    [
        context,
        CatchUnhandled,
        lambda app: HeadValidation(app, ["portal.example"]),
        lambda app: BodyLimit(app, lambda _: False),
        lambda app: SecurityHeaders(app, hsts=TLS_ALONE),
    ],
    ids=["context", "bugs", "gate", "body care", "security headers"],
)
async def test_what_is_not_a_request_passes_untouched(make: Callable[[ASGIApp], ASGIApp]) -> None:
    passed: list[tuple[Scope, Awaitable[Message]]] = []

    async def app(over: Scope, receive: Receive, _send: Send) -> None:
        passed.append((over, receive()))

    over: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
    exchange = Exchange()
    await make(app)(over, exchange.receive, exchange.send)
    assert passed[0][0] == {"type": "lifespan", "asgi": {"version": "3.0"}}
    await passed[0][1]


@pytest.mark.parametrize(
    ("query", "name"),
    [(b"limit=1&limit=2", "limit"), (b"a=1&Evil%20x=1&Evil+x=2", ""), (b"%6cimit=1&limit=2", "limit")],
)
async def test_a_repeated_parameter_is_named_where_its_name_may_be_told(query: bytes, name: str) -> None:
    exchange = await Exchange().run(HeadValidation(hello, ("*",)), scope(query_string=query))
    assert (exchange.status, exchange.problem["code"]) == (422, "validation_failed")
    assert [fault["name"] for fault in exchange.problem["errors"]] == [name]
    assert "Evil" not in str(exchange.problem)


async def test_a_repeated_header_is_named() -> None:
    twice = [(b"host", b"localhost"), (b"if-match", b'"1"'), (b"if-match", b'"2"')]
    exchange = await Exchange().run(HeadValidation(hello, ("*",)), scope(headers=twice))
    assert exchange.problem["detail"] == "A header is repeated: send If-Match once."
