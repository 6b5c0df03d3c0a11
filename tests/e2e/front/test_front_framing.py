"""Requests that two readers could read in two ways, through the door: refused, or one request and nothing after it."""

import contextlib
import secrets
import socket
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from ..raw import bearer, chunk, head, length
from ..seen import eventually, rows, statuses
from .conftest import HOST, FrontDoor, all_said, opened

CHUNKED = "Transfer-Encoding: chunked"
BODY = chunk(b"abc") + chunk(b"")

REFUSED = {
    "two lengths": ([length(3), length(4)], b"abc"),
    "a list of lengths": (["Content-Length: 3, 3"], b"abc"),
    "a signed length": (["Content-Length: +3"], b"abc"),
    "a negative length": (["Content-Length: -1"], b"abc"),
    "an underscored length": (["Content-Length: 1_0"], b"abc"),
    "a length beyond 64 bits": (["Content-Length: 18446744073709551619"], b"abc"),
    "gzip before chunked": (["Transfer-Encoding: gzip, chunked"], BODY),
    "chunked twice": ([CHUNKED, CHUNKED], BODY),
    "chunked in a list": (["Transfer-Encoding: chunked, chunked"], BODY),
    "chunked and identity": (["Transfer-Encoding: chunked, identity"], BODY),
    "identity": (["Transfer-Encoding: identity"], b"abc"),
    "xchunked": (["Transfer-Encoding: xchunked"], BODY),
    "chunked after a control character": (["Transfer-Encoding: \x0bchunked"], BODY),
    "a space before the colon": (["Transfer-Encoding : chunked"], BODY),
    "a carriage return alone": (["X: a\rTransfer-Encoding: chunked", length(3)], b"abc"),
    "a NUL": (["X: a\0b", length(3)], b"abc"),
    "a size in another notation": ([CHUNKED], b"0x3\r\nabc\r\n0\r\n\r\n"),
    "a signed size": ([CHUNKED], b"+3\r\nabc\r\n0\r\n\r\n"),
    "an underscored size": ([CHUNKED], b"0_3\r\nabc\r\n0\r\n\r\n"),
    "a negative size": ([CHUNKED], b"-3\r\nabc\r\n0\r\n\r\n"),
    "no size": ([CHUNKED], b"\r\nabc\r\n0\r\n\r\n"),
    "a size beyond 64 bits": ([CHUNKED], b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    "a chunk that is longer than its size": ([CHUNKED], b"3\r\nabcX\r\n0\r\n\r\n"),
    "an extension of 20 KB": ([CHUNKED], b"3;" + b"x" * 20_000 + b"\r\nabc\r\n0\r\n\r\n"),
    "two hosts": ([f"Host: {HOST}", length(3)], b"abc"),
}
ONE = {  # Caddy writes these anew: the portal is handed one length or plain chunks
    "one length twice": ([length(3), length(3)], b"abc"),
    "a folded header": (["X: a", " b", length(3)], b"abc"),
}
ONE_AND_NO_MORE = {  # behind chunks the connection ends, whole or broken
    "length and chunks": ([length(3), CHUNKED], BODY),
    "chunks and length": ([CHUNKED, length(3)], BODY),
    "chunked in capitals": (["Transfer-Encoding: CHUNKED"], BODY),
    "a short extension": ([CHUNKED], b"3;a=b\r\nabc\r\n0\r\n\r\n"),
    "trailers": ([CHUNKED, "Trailer: X-User"], b"3\r\nabc\r\n0\r\nX-User: admin\r\nContent-Length: 9\r\n\r\n"),
}


def told(front: FrontDoor, *pieces: bytes) -> list[int]:
    with front.wire() as wire:
        return all_said(wire, *pieces)


def reached(front: FrontDoor, path: str) -> bool:
    """Whether the portal was asked for a path: judged when a later request of ours is in its log."""
    later = f"/{secrets.token_hex(16)}"
    with httpx.Client(verify=front.tls()) as client:
        assert client.get(f"{front.url}{later}").status_code == 404
    assert eventually(lambda: later in front.portal.log)
    return path in front.portal.log


@pytest.mark.parametrize(("headers", "body"), REFUSED.values(), ids=REFUSED)
def test_an_ambiguous_request_is_refused_and_what_follows_with_it(
    front: FrontDoor, analyst: httpx.Client, headers: list[str], body: bytes
) -> None:
    name, hidden = secrets.token_hex(8), f"/{secrets.token_hex(16)}"
    after = head("GET", hidden, "Connection: close", host=HOST)
    said = told(front, head("PUT", f"/api/v1/upload/{name}", bearer(analyst), *headers, host=HOST) + body + after)
    assert len(said) <= 1
    assert all(400 <= status < 600 for status in said)
    assert not reached(front, hidden)
    assert eventually(lambda: statuses(front.portal, name) in ([], ["failed"]))


def read_in_one_way(front: FrontDoor, analyst: httpx.Client, headers: list[str], body: bytes) -> tuple[list[int], bool]:
    """What the door said of an upload of three bytes and of a request behind it, and whether that one was let in."""
    name, after = secrets.token_hex(8), f"/{secrets.token_hex(16)}"
    request = head("PUT", f"/api/v1/upload/{name}", bearer(analyst), *headers, host=HOST)
    said = told(front, request + body + head("GET", after, "Connection: close", host=HOST))
    assert rows(front.portal, "SELECT status, size FROM files WHERE name = ?", name) == [("ready", 3)]
    return said, reached(front, after)


@pytest.mark.parametrize(("headers", "body"), ONE.values(), ids=ONE)
def test_what_the_door_reads_in_one_way_the_portal_does_too(
    front: FrontDoor, analyst: httpx.Client, headers: list[str], body: bytes
) -> None:
    assert read_in_one_way(front, analyst, headers, body) == ([201, 404], True)


@pytest.mark.parametrize(("headers", "body"), ONE_AND_NO_MORE.values(), ids=ONE_AND_NO_MORE)
def test_behind_a_body_in_chunks_nothing_is_a_request(
    front: FrontDoor, analyst: httpx.Client, headers: list[str], body: bytes
) -> None:
    assert read_in_one_way(front, analyst, headers, body) == ([201], False)


@pytest.mark.parametrize(
    ("first", "body"),
    [
        ("PUT /api/v1/upload/a HTTP/1.1", b"zz\r\n"),
        ("PUT /api/v1/upload/a HTTP/1.1", b"3\r\nabc\r\nzz\r\n"),
        ("PUT /api/v1/upload/a HTTP/1.1", b"3\r\nabcX\r\n"),
        ("POST /api/v1/files HTTP/1.1", b"3\r\nabc\r\nzz\r\n"),
        ("PATCH /api/v1/files/a HTTP/1.1", b"3\r\nabc\r\nzz\r\n"),
        ("POST /api/v1/auth/token HTTP/1.1", b"3\r\nabc\r\nzz\r\n"),
        ("GET /healthz HTTP/1.1", b"3\r\nabc\r\nzz\r\n"),
    ],
)
@pytest.mark.parametrize("who", ["analyst", "nobody"])
def test_behind_a_broken_body_nothing_is_a_request(
    front: FrontDoor, analyst: httpx.Client, first: str, body: bytes, who: str
) -> None:
    hidden = f"/{secrets.token_hex(16)}"
    signed = [bearer(analyst)] if who == "analyst" else []
    lines = "\r\n".join([first, f"Host: {HOST}", CHUNKED, *signed, "\r\n"]).encode()
    told(front, lines + body + head("GET", hidden, "Connection: close", host=HOST))
    assert not reached(front, hidden)


def test_what_comes_after_an_early_refusal_is_no_request(front: FrontDoor) -> None:
    refused, hidden = f"/api/v1/upload/{secrets.token_hex(16)}", f"/{secrets.token_hex(16)}"
    with front.wire() as wire:
        wire.send(head("PUT", refused, CHUNKED, host=HOST))
        assert eventually(lambda: refused in front.portal.log)  # judged by its head
        assert all_said(wire, head("GET", hidden, "Connection: close", host=HOST)) == [401]
    assert not reached(front, hidden)


@pytest.mark.parametrize(
    ("method", "target"), [("PUT", "/api/v1/upload/a?kind=virus"), ("PUT", "/api/v1/upload/%ff"), ("GET", "/healthz")]
)
@pytest.mark.parametrize("framing", ["announced", "chunked"])
def test_a_request_inside_a_body_is_none(
    front: FrontDoor, analyst: httpx.Client, method: str, target: str, framing: str
) -> None:
    path = f"/{secrets.token_hex(16)}"
    hidden = head("GET", path, host=HOST)
    framed, body = (length(len(hidden)), hidden) if framing == "announced" else (CHUNKED, chunk(hidden) + chunk(b""))
    last = head("GET", f"/{secrets.token_hex(16)}", "Connection: close", host=HOST)
    said = told(front, head(method, target, bearer(analyst), framed, host=HOST) + body + last)
    assert len(said) <= 2
    assert not reached(front, path)


@pytest.mark.parametrize(
    ("line", "host", "expected"),
    [
        ("GET @evil.com HTTP/1.1", HOST, {400}),
        ("GET http://evil.org/healthz HTTP/1.1", HOST, {400, 421}),
        ("GET https://evil.org/healthz HTTP/1.1", HOST, {400, 421}),
        (f"GET https://{HOST}/healthz HTTP/1.1", "evil.org", {200, 400}),  # the target's host is the one that counts
        ("get /healthz HTTP/1.1", HOST, {400, 405}),
        ("GET /healthz HTTP/9.9", HOST, {400, 505}),
        ("GET  /healthz HTTP/1.1", HOST, {400}),
        ("GET /healthz", HOST, {400}),
        ("GET /healthz HTTP/1.1", None, {400}),
        ("GET /healthz HTTP/1.1", "evil.org", {421}),
        ("GET /healthz HTTP/1.1", f"{HOST}/admin?", {400, 421}),
        ("GET /healthz HTTP/1.1", f"{HOST}, evil.org", {400, 421}),
        ("CONNECT evil.org:443 HTTP/1.1", "evil.org:443", {400, 405, 421}),
        ("PRI * HTTP/2.0", None, {400, 505}),
    ],
)
def test_a_request_line_or_host_of_another_kind_is_refused(
    front: FrontDoor, line: str, host: str | None, expected: set[int]
) -> None:
    hosts = [] if host is None else [f"Host: {host}"]
    said = told(front, "\r\n".join([line, *hosts, "Connection: close", "\r\n"]).encode())
    assert len(said) == 1
    assert set(said) <= expected


def test_http_1_0_is_refused_for_it_knows_no_chunks(front: FrontDoor, analyst: httpx.Client) -> None:
    name, hidden = secrets.token_hex(8), f"/{secrets.token_hex(16)}"
    request = head("PUT", f"/api/v1/upload/{name}", bearer(analyst), CHUNKED, host=HOST, version="1.0")
    assert told(front, request + BODY + head("GET", hidden, host=HOST)) == [505]
    assert not reached(front, hidden)
    assert statuses(front.portal, name) == []


def test_lines_that_end_in_a_bare_line_feed_are_one_request_or_none(front: FrontDoor, analyst: httpx.Client) -> None:
    name, after = secrets.token_hex(8), f"/{secrets.token_hex(16)}"
    request = head("PUT", f"/api/v1/upload/{name}", bearer(analyst), length(3), host=HOST).replace(b"\r\n", b"\n")
    assert told(front, request + b"abc" + head("GET", after, "Connection: close", host=HOST)) == [201, 404]
    request = head("PUT", f"/api/v1/upload/{name}", bearer(analyst), CHUNKED, host=HOST)
    assert len(told(front, request + b"3\nabc\n0\n\n" + head("GET", f"{after}-2", host=HOST))) == 1
    assert not reached(front, f"{after}-2")


OFFER = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"]


@pytest.mark.parametrize("offer", [OFFER, ["Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]])
def test_an_offered_upgrade_is_not_passed_on(front: FrontDoor, tmp_path: Path, offer: list[str]) -> None:
    """Seen from behind: the portal itself would ignore it."""
    heads: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    heads.append(connection.recv(1 << 16))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        behind = replace(front.portal, port=listener.getsockname()[1])
        with opened(behind, tmp_path / "caddy") as door:
            last = "Connection: close"
            assert told(door, head("PUT", "/a", *offer, last, length(3), host=HOST) + b"abc") == [200]
        listener.shutdown(socket.SHUT_RDWR)
    (raw,) = [one for one in heads if one.startswith(b"PUT /a ")]
    assert b"upgrade" not in raw.lower()
    assert b"http2-settings" not in raw.lower()


@pytest.mark.parametrize("offer", [OFFER, ["Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_behind_an_offered_upgrade_the_body_is_whole(
    front: FrontDoor, analyst: httpx.Client, offer: list[str], framing: str
) -> None:
    hidden = f"/{secrets.token_hex(16)}"
    inner = b"\r\n" * 20 + head("GET", hidden, host=HOST)
    framed, body = (length(len(inner)), inner) if framing == "length" else (CHUNKED, chunk(inner) + chunk(b""))
    request = head("PUT", "/api/v1/upload/a.bin", bearer(analyst), framed, *offer, host=HOST)
    for pieces in ([request + body], [request, body[:30], body[30:]]):
        with front.wire() as wire:
            for piece in pieces:
                wire.send(piece)
            answer = wire.answer()
        assert (answer.status_code, answer.json()["size"]) == (201, len(inner))
    assert not reached(front, hidden)


@pytest.mark.parametrize("size", [2, 4, 100])
def test_over_http_2_a_length_that_is_not_the_bodys_is_an_error(
    front: FrontDoor, analyst: httpx.Client, tmp_path: Path, size: int
) -> None:
    name = secrets.token_hex(8)
    sent = ["-X", "PUT", "--data-binary", "abc", "-H", length(size), "-H", bearer(analyst)]
    got = front.curl("2", f"/api/v1/upload/{name}", *sent, "-o", str(tmp_path / "told"), "-w", "%{http_code}")
    assert got.stdout != b"201"
    assert eventually(lambda: statuses(front.portal, name) in ([], ["failed"]))
