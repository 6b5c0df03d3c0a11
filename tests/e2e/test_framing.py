"""Requests that two readers could read in two ways, or that are too much: refused before anything looks at them."""

import secrets

import httpx
import pytest

from .conftest import Served
from .raw import Wire, bearer, chunk, head, length
from .seen import eventually, is_taken, problem, statuses

CHUNKED = "Transfer-Encoding: chunked"


def ask(portal: Served, request: bytes) -> httpx.Response:
    with Wire(portal.port) as wire:
        wire.send(request)
        return wire.answer()


def is_refused(answer: httpx.Response, status: int = 400) -> bool:
    """In the same words and under the same headers by the portal and, before it, by the parser."""
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    return problem(answer)[0] == status and answer.headers["connection"] == "close"


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
    request = head("GET", "/api/v1/files", *(f"Host: {host}" for host in hosts), host=None)
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
    "chunked behind identity": ["Transfer-Encoding: identity, chunked"],
    "chunked with a parameter": ["Transfer-Encoding: chunked;q=1"],
    "an empty coding": ["Transfer-Encoding:", length(3)],
    "a length in hexadecimal": ["Content-Length: 0x3"],
    "a length with a space inside": ["Content-Length: 1 0"],
    "a line that ends in a bare line feed": ["X: a\nContent-Length: 3"],
    "a line that ends in a bare carriage return": ["X: a\rContent-Length: 3"],
    "a NUL in a header": ["X: a\0b", length(3)],
    "a header without a colon": ["nonsense", length(3)],
    "a header without a name": [": x", length(3)],
    "a folded header": ["X: a", " b", length(3)],
}


@pytest.mark.parametrize("headers", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_an_ambiguous_framing_is_refused(portal: Served, analyst: httpx.Client, headers: list[str]) -> None:
    name = secrets.token_hex(8)
    answer = ask(portal, head("PUT", f"/api/v1/upload/{name}", bearer(analyst), *headers) + chunk(b"abc") + chunk(b""))
    assert is_refused(answer)
    assert statuses(portal, name) == []


MALFORMED_CHUNKS = {
    "a line feed for an end": b"3\nabc\n0\n\n",
    "no end of the data": b"3\r\nabc0\r\n\r\n",
    "another end of the data": b"3\r\nabcXX0\r\n\r\n",
    "more data than its size": b"3\r\nabcd\r\n0\r\n\r\n",
    "a line feed inside an extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "a carriage return inside an extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"1000000000000000000003\r\nabc\r\n0\r\n\r\n",
    "a request for an end": b"3\r\nabc\r\n" + head("GET", "/healthz"),
}


@pytest.mark.parametrize("body", MALFORMED_CHUNKS.values(), ids=MALFORMED_CHUNKS)
def test_a_malformed_chunk_keeps_nothing_and_is_the_last_of_its_connection(
    portal: Served, analyst: httpx.Client, body: bytes
) -> None:
    name = secrets.token_hex(8)
    with Wire(portal.port) as wire:
        wire.send(head("PUT", f"/api/v1/upload/{name}", bearer(analyst), CHUNKED), body)
        assert 400 <= wire.answer().status_code < 500
        assert wire.ended()
    assert eventually(lambda: statuses(portal, name) in ([], ["failed"]))


def test_what_a_chunk_says_beside_its_size_is_no_content(portal: Served, analyst: httpx.Client) -> None:
    body = b"3;" + b"x" * 20_000 + b"\r\nabc\r\n" + chunk(b"")
    with Wire(portal.port) as wire:
        wire.send(head("PUT", f"/api/v1/upload/{secrets.token_hex(8)}", bearer(analyst), CHUNKED), body)
        answer = wire.answer()
    assert (answer.status_code, answer.json()["size"]) == (201, 3) or is_refused(answer)


def test_what_follows_the_last_chunk_is_no_header(portal: Served, analyst: httpx.Client) -> None:
    """It may arrive together with the head: still no token, no host and no key comes from there."""
    target = f"/api/v1/upload/{secrets.token_hex(8)}"
    fields = [
        bearer(analyst),
        "Host: evil.org",
        "Idempotency-Key: one",
        "Idempotency-Key: two",
        f"Repr-Digest: {'x' * 50_000}",
    ]
    trailer = "\r\n".join(["0", *fields, "", ""]).encode()
    assert problem(ask(portal, head("PUT", target, CHUNKED) + chunk(b"abc") + trailer)) == (401, "not_signed_in")
    with Wire(portal.port) as wire:
        for _ in range(2):
            wire.send(head("PUT", target, bearer(analyst), CHUNKED) + chunk(b"abc") + trailer)
            answer = wire.answer()
            assert (answer.status_code, answer.json()["size"]) == (201, 3)


def test_a_client_that_goes_on_sending_to_a_refusal_is_cut_off(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        wire.send(head("PUT", "/api/v1/upload/a.bin", bearer(analyst), length(200 << 20)))
        megabytes = (bytes(1 << 20) for _ in range(200))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            wire.send_each(megabytes)


UPGRADES = {
    "HTTP/2": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    "a web socket": [
        *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ],
    "TLS": ["Connection: Upgrade", "Upgrade: TLS/1.3"],
}


@pytest.mark.parametrize("asked", UPGRADES.values(), ids=UPGRADES)
def test_no_other_protocol_is_spoken(portal: Served, asked: list[str]) -> None:
    answer = ask(portal, head("GET", "/healthz", *asked))
    assert answer.extensions["head"].startswith(b"HTTP/1.1 200")
    assert "upgrade" not in answer.headers


FORM = "Content-Type: application/x-www-form-urlencoded"
HIDDEN = head("GET", "/healthz")


@pytest.mark.parametrize("asked", [*UPGRADES.values(), ["Upgrade: foo/2, bar", "Connection: keep-alive, Upgrade"]])
@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("when", ["at once", "later", "in two"])
def test_an_offered_upgrade_is_ignored_and_the_body_is_whole(
    portal: Served, analyst: httpx.Client, asked: list[str], framing: str, when: str
) -> None:
    framed, body = (length(len(HIDDEN)), HIDDEN) if framing == "length" else (CHUNKED, chunk(HIDDEN) + chunk(b""))
    requests = [head("PUT", "/api/v1/upload/a.bin", bearer(analyst), framed, *asked) + body]
    requests += [head("POST", "/api/v1/auth/token", FORM, framed, *asked) + body] * (when != "later")
    for request in requests:
        end = request.index(b"\r\n\r\n") + 4
        at = {"at once": len(request), "later": end, "in two": end - 3}[when]
        with Wire(portal.port) as wire:
            wire.send(request[:at])
            assert when == "at once" or eventually(lambda wire=wire: is_taken(portal, wire))  # type: ignore[misc]
            wire.send(request[at:] + head("GET", "/healthz", "Connection: close"))
            answer = wire.answer()
            if b"/upload/" in request:
                assert (answer.status_code, answer.json()["size"]) == (201, len(HIDDEN))
            else:
                assert problem(answer) == (400, "invalid_token_request")
            assert wire.answer().json() == {"status": "ok"}
            assert wire.ended()


@pytest.mark.parametrize("line", ["GET /healthz HTTP/2.0", "GET /healthz HTTP/0.9", "GET /healthz"])
def test_another_version_is_refused(portal: Served, line: str) -> None:
    with Wire(portal.port) as wire:
        wire.send(f"{line}\r\nHost: 127.0.0.1\r\n\r\n".encode(), HIDDEN)
        refused = wire.answer()
        assert problem(refused) == (505, "version_not_supported")
        assert refused.headers["connection"] == "close"
        assert wire.ended()


def test_http_1_0_is_told_nothing_before_its_answer(portal: Served, analyst: httpx.Client) -> None:
    """RFC 9110 §10.1.1: it would take that for the answer."""
    with Wire(portal.port) as wire:
        expects = ["Expect: 100-continue", length(3)]
        wire.send(head("PUT", "/api/v1/upload/a.bin", bearer(analyst), *expects, version="1.0"))
        assert eventually(lambda: is_taken(portal, wire))
        wire.send(b"abc")
        assert wire.answer().status_code == 201


def test_the_preface_of_http_2_is_no_request(portal: Served) -> None:
    answer = ask(portal, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("target", ["http://evil.org", "http://127.0.0.1", "//evil.org"])
def test_the_host_of_a_target_decides_nothing(portal: Served, target: str) -> None:
    """A path counts, and the one Host header: a target that names another is answered as its path is, or not at all."""
    answer = ask(portal, head("GET", f"{target}/healthz"))
    assert (answer.status_code, answer.text) == (200, '{"status":"ok"}') or 400 <= answer.status_code < 500
    assert "evil" not in answer.text + repr(answer.headers)
    assert problem(ask(portal, head("GET", f"{target}/api/v1/files", host="evil.org"))) == (400, "invalid_input")


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
    assert eventually(lambda: statuses(portal, name) in ([], ["failed"]))


@pytest.mark.parametrize(
    "line",
    [
        "GET @evil.com HTTP/1.1",
        "GET http://evil.org/api/v1/files HTTP/1.1",
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
