"""Requests that two readers could read in two ways, or that are too much: refused before anything looks at them."""

import secrets

import httpx
import pytest

from .conftest import Served
from .raw import Wire, bearer, chunk, head, length
from .seen import problem, statuses

CHUNKED = "Transfer-Encoding: chunked"


def ask(portal: Served, request: bytes) -> httpx.Response:
    with Wire(portal.port) as wire:
        wire.send(request)
        return wire.answer()


def is_refused(answer: httpx.Response, status: int = 400) -> bool:
    """By the portal, or before it by its HTTP server, which answers in plain text."""
    if answer.headers["content-type"] == "application/problem+json":
        return problem(answer)[0] == status
    return answer.status_code == 400 and answer.text == "Invalid HTTP request received."


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [" "],
        ["evil.example.org"],
        ["127.0.0.1", "127.0.0.1"],
        ["127.0.0.1", "evil.example.org"],
        ["127.0.0.1.evil.org"],
        ["127.0.0.1,evil.example.org"],
        ["127.0.0.1/admin?"],
        ["localhost.evil.org:80"],
        ["[::2]"],
        ["[::1"],
        [":80"],
        ["x" * 5000],
    ],
    ids=lambda hosts: ascii(hosts)[:40],
)
def test_only_one_host_that_is_ours_is_answered(portal: Served, hosts: list[str]) -> None:
    request = head("GET", "/healthz", *(f"Host: {host}" for host in hosts), host=None)
    assert problem(ask(portal, request)) == (400, "invalid_input")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8000"])
def test_our_own_hosts_are_answered_on_any_port(portal: Served, host: str) -> None:
    assert ask(portal, head("GET", "/healthz", host=host)).status_code == 200


def test_a_hundred_headers_pass_and_one_more_does_not(portal: Served) -> None:
    many = [f"X-{number}: x" for number in range(99)]  # and Host
    assert ask(portal, head("GET", "/healthz", *many)).status_code == 200
    assert problem(ask(portal, head("GET", "/healthz", *many, "X: x"))) == (431, "head_too_large")
    assert problem(ask(portal, head("GET", "/healthz", *many * 50))) == (431, "head_too_large")


def test_headers_of_32_kib_pass_and_more_do_not(portal: Served) -> None:
    assert ask(portal, head("GET", "/healthz", f"X: {'x' * 32_000}")).status_code == 200
    assert is_refused(ask(portal, head("GET", "/healthz", f"X: {'x' * 33_000}")), 431)
    assert is_refused(ask(portal, head("GET", "/healthz", *[f"X: {'x' * 1000}"] * 40)), 431)
    assert is_refused(ask(portal, head("GET", "/healthz", f"X: {'x' * 70_000}")), 431)


def test_a_target_of_8_kib_passes_and_a_longer_one_does_not(portal: Served) -> None:
    assert ask(portal, head("GET", f"/{'x' * 8191}")).status_code == 404
    assert problem(ask(portal, head("GET", f"/{'x' * 8192}"))) == (414, "target_too_long")
    assert problem(ask(portal, head("GET", f"/healthz?{'x' * 8192}"))) == (414, "target_too_long")
    assert is_refused(ask(portal, head("GET", f"/{'x' * 70_000}")), 414)


AMBIGUOUS = {
    "length and chunks": [length(3), CHUNKED],
    "chunks and length": [CHUNKED, length(3)],
    "two lengths": [length(3), length(4)],
    "one length twice": [length(3), length(3)],
    "a list of lengths": ["Content-Length: 3, 3"],
    "a signed length": ["Content-Length: +3"],
    "a negative length": ["Content-Length: -1"],
    "an underscored length": ["Content-Length: 1_0"],
    "a length in other digits": ["Content-Length: ٣"],
    "a length beyond 64 bits": ["Content-Length: 18446744073709551619"],
    "gzip before chunked": ["Transfer-Encoding: gzip, chunked"],
    "chunked twice": [CHUNKED, CHUNKED],
    "chunked in a list": ["Transfer-Encoding: chunked, chunked"],
    "chunked and identity": ["Transfer-Encoding: chunked, identity"],
    "identity": ["Transfer-Encoding: identity"],
    "xchunked": ["Transfer-Encoding: xchunked"],
    "chunked after a control character": ["Transfer-Encoding: \x0bchunked"],
    "a space before the colon": ["Transfer-Encoding : chunked"],
    "a folded header": ["X: a", " b", length(3)],
}


@pytest.mark.parametrize("headers", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_an_ambiguous_framing_is_refused(portal: Served, analyst: httpx.Client, headers: list[str]) -> None:
    name = secrets.token_hex(8)
    answer = ask(portal, head("PUT", f"/api/v1/upload/{name}", bearer(analyst), *headers) + chunk(b"abc") + chunk(b""))
    assert is_refused(answer)
    assert statuses(portal, name) == []


def test_http_1_0_knows_no_chunks(portal: Served, analyst: httpx.Client) -> None:
    request = head("PUT", "/api/v1/upload/a.bin", bearer(analyst), CHUNKED, version="1.0") + chunk(b"abc") + chunk(b"")
    assert is_refused(ask(portal, request))


@pytest.mark.parametrize("size", ["0x3", "+3", "0_3", "-3", "", "g", "10000000000000003"])
def test_a_chunk_of_no_proper_size_keeps_nothing(portal: Served, analyst: httpx.Client, size: str) -> None:
    name = secrets.token_hex(8)
    with Wire(portal.port) as wire:
        wire.send(
            head("PUT", f"/api/v1/upload/{name}", bearer(analyst), CHUNKED), f"{size}\r\nabc\r\n0\r\n\r\n".encode()
        )
        answer = wire.answer()
        assert 400 <= answer.status_code < 500
        assert wire.ended()
    assert statuses(portal, name) in ([], ["failed"])


@pytest.mark.parametrize(
    "line",
    [
        "GET @evil.com HTTP/1.1",
        "GET http://evil.org/healthz HTTP/1.1",
        "get /healthz HTTP/1.1",
        "GET /healthz HTTP/9.9",
    ],
)
def test_a_request_line_of_another_kind_reaches_nothing(portal: Served, line: str) -> None:
    answer = ask(portal, f"{line}\r\nHost: evil.org\r\n\r\n".encode())
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("path", ["/%ff", "/%00", "/a%c3%28", "/api/v1/files/%00", "/healthz?%ff=1", "/healthz?a=%00"])
def test_a_target_that_is_not_utf_8_text_is_malformed(portal: Served, path: str) -> None:
    assert problem(ask(portal, head("GET", path))) == (400, "invalid_input")


def test_an_unread_body_is_never_taken_for_the_next_request(portal: Served, analyst: httpx.Client) -> None:
    hidden = head("GET", "/healthz")
    with Wire(portal.port) as wire:
        wire.send(head("PUT", "/api/v1/upload/a.bin?kind=virus", bearer(analyst), length(len(hidden))), hidden)
        first = wire.answer()
        assert problem(first)[0] == 422
        assert first.headers["connection"] == "close"
        assert wire.ended()


def test_one_connection_serves_request_after_request(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        for number in range(3):
            wire.send(head("PUT", f"/api/v1/upload/{number}", bearer(analyst), length(3)), b"abc")
            assert wire.answer().status_code == 201
        wire.send(head("GET", "/healthz") * 2)
        assert [wire.answer().status_code for _ in range(2)] == [200, 200]


BODY = length(1 << 40)


@pytest.mark.parametrize(
    ("target", "headers", "host", "status"),
    [
        ("/api/v1/upload/a.bin", [BODY], "evil.example.org", 400),
        (f"/api/v1/upload/{'x' * 8192}", [BODY], "127.0.0.1", 414),
        ("/api/v1/upload/a.bin", [BODY, *(f"X-{number}: x" for number in range(100))], "127.0.0.1", 431),
        ("/api/v1/upload/a.bin?kind=log&kind=log", [BODY], "127.0.0.1", 422),
        ("/api/v1/upload/%ff", [BODY], "127.0.0.1", 400),
        ("/api/v1/upload/a.bin", ["Transfer-Encoding: gzip, chunked"], "127.0.0.1", 400),
    ],
    ids=["host", "target", "headers", "query", "path", "framing"],
)
def test_a_refused_head_closes_the_connection(
    portal: Served, analyst: httpx.Client, target: str, headers: list[str], host: str, status: int
) -> None:
    with Wire(portal.port) as wire:
        wire.send(head("PUT", target, bearer(analyst), *headers, host=host))
        answer = wire.answer()
        assert problem(answer)[0] == status
        assert answer.headers.get("connection") == "close"
        assert wire.ended()
