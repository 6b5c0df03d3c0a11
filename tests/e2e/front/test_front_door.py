"""Through the front door: what goes in and out over TLS, whose address is on record, what is cut off and logged."""

import contextlib
import secrets
import socket
import sqlite3
import ssl
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..conftest import PASSWORD, running
from ..raw import bearer, chunk, head, length
from ..seen import blob_file, events, eventually, outcomes, problem, statuses
from .conftest import HOST, LIMIT, FrontDoor, all_said, opened

SIZE = 20 << 20
HARDENED = {
    b"cache-control",
    b"content-security-policy",
    b"cross-origin-opener-policy",
    b"cross-origin-resource-policy",
    b"permissions-policy",
    b"referrer-policy",
    b"strict-transport-security",
    b"x-content-type-options",
    b"x-frame-options",
}
CHUNKED = "Transfer-Encoding: chunked"
EXPECT = "Expect: 100-continue"
BOTH = pytest.mark.parametrize("version", ["1.1", "2"])


def put(client: httpx.Client, name: str, *headers: str) -> bytes:
    return head("PUT", f"/api/v1/upload/{name}", bearer(client), *headers, host=HOST)


def names(answer: httpx.Response) -> list[bytes]:
    return [name.lower() for name, _ in answer.headers.raw]


def ask(front: FrontDoor, request: bytes) -> httpx.Response:
    with front.wire() as wire:
        wire.send(request)
        return wire.answer()


@BOTH
@pytest.mark.parametrize("way", ["raw", "form"])
def test_what_goes_in_comes_out_whole_and_by_range(
    front: FrontDoor, analyst: httpx.Client, tmp_path: Path, way: str, version: str
) -> None:
    content = secrets.token_bytes(SIZE)
    (tmp_path / "a.bin").write_bytes(content)
    given = ["-T", str(tmp_path / "a.bin")] if way == "raw" else ["-F", f"file=@{tmp_path / 'a.bin'}"]
    target = "/api/v1/upload/a.bin" if way == "raw" else "/api/v1/files"
    asked = ["-H", bearer(analyst), "--fail"]
    told = ["-o", str(tmp_path / "entry.json"), "-w", "%{http_version} %{http_code}"]
    assert front.curl(version, target, *asked, *given, *told).stdout.decode() == f"{version} 201"
    entry = httpx.Response(201, content=(tmp_path / "entry.json").read_bytes()).json()
    where = f"/api/v1/files/{entry['id']}/content"
    assert front.curl(version, where, *asked).stdout == content
    assert front.curl(version, where, *asked, "-r", "1048000-9000000").stdout == content[1048000:9000001]


CLAIMS = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;host=evil.example.org;proto=http",
    "X-Forwarded-Host": "evil.example.org",
    "X-Forwarded-Proto": "http",
    "X-User": "admin",
    "Remote-User": "admin",
    "X_Forwarded_For": "6.6.6.6",
    "X_Real_IP": "6.6.6.6",
    "Remote_User": "admin",
}


def uploaded_from(front: FrontDoor, client: httpx.Client, source: str, version: str, **claims: str) -> dict[str, Any]:
    """What is on record of an upload from an address of this machine that claims things in headers."""
    claimed = [word for name, value in claims.items() for word in ("-H", f"{name}: {value}")]
    request = ["--interface", source, "-H", bearer(client), "-X", "PUT", "--data-binary", "content", *claimed]
    answer = front.curl(version, f"/api/v1/upload/{secrets.token_hex(8)}", *request)
    assert answer.returncode == 0, answer
    entry = httpx.Response(201, content=answer.stdout).json()
    (event,) = [event for event in events(front.portal, entry["id"]) if event["event"] == "file.uploaded"]
    return event


@BOTH
def test_the_true_peer_is_on_record_whatever_a_client_claims(
    front: FrontDoor, analyst: httpx.Client, version: str
) -> None:
    plain = uploaded_from(front, analyst, "127.0.0.2", version)
    claimed = uploaded_from(front, analyst, "127.0.0.2", version, **CLAIMS)
    twice = uploaded_from(front, analyst, "127.0.0.2", version, **{"x-forwarded-for": "127.0.0.1, 6.6.6.6, 127.0.0.1"})
    assert [event["address"] for event in (plain, claimed, twice)] == ["127.0.0.2"] * 3
    assert plain["actor"] == claimed["actor"] == twice["actor"]


def test_another_proxy_is_believed_where_it_is_named_and_its_last_word_alone(
    front: FrontDoor, analyst: httpx.Client, tmp_path: Path
) -> None:
    options = "trusted_proxies static 127.0.0.2/32\ntrusted_proxies_strict"
    claim = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9", "X-Real-IP": "7.7.7.7"}
    with opened(front.portal, tmp_path / "caddy", server_options=options) as door:
        told = [uploaded_from(door, analyst, source, "1.1", **claim) for source in ("127.0.0.2", "127.0.0.3")]
    assert [event["address"] for event in told] == ["203.0.113.9", "127.0.0.3"]


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/healthz", 200), ("GET", "/api/v1/files", 401), ("GET", "/x", 404), ("TRACE", "/api/v1/files", 405)],
)
def test_every_protection_stands_once_and_no_program_is_named(
    front: FrontDoor, method: str, target: str, status: int
) -> None:
    answer = ask(front, head(method, target, host=HOST))
    assert answer.status_code == status
    assert {name: names(answer).count(name) for name in HARDENED} == dict.fromkeys(HARDENED, 1)
    assert {b"server", b"via"}.isdisjoint(names(answer))


def test_a_download_is_not_gathered(front: FrontDoor, analyst: httpx.Client) -> None:
    content = secrets.token_bytes(LIMIT)
    entry = analyst.put("/upload/big.bin", content=content).json()
    with front.wire(receive_buffer=1 << 14) as wire:
        wire.send(head("GET", f"/api/v1/files/{entry['id']}/content", bearer(analyst), host=HOST))
        start = wire.read(1 << 14)
        assert start.startswith(b"HTTP/1.1 200 ")
        assert outcomes(front.portal, entry["id"]) == []  # the portal waits for us
        received = bytearray(start)
        while not received.endswith(content[-100:]):
            received += wire.read(1 << 16)
    assert received.partition(b"\r\n\r\n")[2] == content
    assert eventually(lambda: outcomes(front.portal, entry["id"]) == ["finished"])


def test_an_upload_is_not_gathered(front: FrontDoor, analyst: httpx.Client) -> None:
    unfinished = front.portal.folder / "var" / "store" / "tmp"
    content = secrets.token_bytes(3_000_000)
    with front.wire() as wire:
        wire.send(put(analyst, "slow.bin", length(len(content) + 1)), content)
        assert eventually(lambda: any(path.stat().st_size >= 1 << 20 for path in unfinished.iterdir()))
        wire.send(b"x")
        assert wire.answer().status_code == 201


@BOTH
@pytest.mark.parametrize("place", [128 + 5 * (1 << 20), -1], ids=["in the middle", "the very last bit"])
def test_a_damaged_download_breaks_off_here_too(
    front: FrontDoor, analyst: httpx.Client, version: str, place: int
) -> None:
    content = secrets.token_bytes(SIZE)
    entry = analyst.put("/upload/damaged.bin", content=content).json()
    blob = blob_file(front.portal, entry["id"])
    stored = bytearray(blob.read_bytes())
    stored[place] ^= 0x10
    blob.write_bytes(stored)
    got = front.curl(version, f"/api/v1/files/{entry['id']}/content", "-H", bearer(analyst))
    assert got.returncode in ({18} if version == "1.1" else {18, 92})  # partial file, stream not closed cleanly
    assert len(got.stdout) < SIZE
    assert content.startswith(got.stdout)
    assert eventually(lambda: outcomes(front.portal, entry["id"]) == ["damaged"])


@BOTH
def test_an_announced_length_over_the_limit_is_the_portals_to_refuse(
    front: FrontDoor, analyst: httpx.Client, tmp_path: Path, version: str
) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(LIMIT + 1)
    name = secrets.token_hex(8)
    asked = ["-T", str(tmp_path / "big"), "-H", bearer(analyst), "-H", EXPECT, "-w", "%{http_code}"]
    told = front.curl(version, f"/api/v1/upload/{name}", *asked).stdout
    if version == "1.1":
        assert told.endswith(b"413")
        assert b'"code":"too_large"' in told
    else:  # nobody asks first here: the portal leaves while the body still comes, and its words may be lost with it
        assert told.endswith((b"413", b"502"))
    assert statuses(front.portal, name) == []


def test_a_counted_length_over_the_limit_is_the_portals_to_refuse(front: FrontDoor, analyst: httpx.Client) -> None:
    name = secrets.token_hex(8)
    body = [chunk(bytes(1 << 20))] * (LIMIT >> 20)
    with front.wire() as wire:
        wire.send(put(analyst, name, CHUNKED), *body, chunk(b"x" * 100), chunk(b""))
        answer = wire.answer()
    assert answer.status_code == 413
    assert names(answer).count(b"strict-transport-security") == 1
    assert eventually(lambda: statuses(front.portal, name) == ["failed"])


def test_a_body_over_the_doors_own_limit_is_refused_by_the_door(narrow: FrontDoor, analyst: httpx.Client) -> None:
    name = secrets.token_hex(8)
    with narrow.wire() as wire:
        wire.send(put(analyst, name, CHUNKED), chunk(bytes(1 << 20)), chunk(b"x"), chunk(b""))
        answer = wire.answer()
        assert (answer.status_code, answer.headers["connection"]) == (413, "close")
        assert names(answer).count(b"strict-transport-security") == 1
        assert {b"server", b"via"}.isdisjoint(names(answer))
        assert all_said(wire) == []
    assert eventually(lambda: statuses(narrow.portal, name) == ["failed"])


def test_who_asks_before_a_body_is_answered_by_the_portal(front: FrontDoor, analyst: httpx.Client) -> None:
    with front.wire() as wire:
        wire.send(put(analyst, "asked.bin", length(7), EXPECT))
        assert wire.answer().status_code == 100
        wire.send(b"content")
        answer = wire.answer()
        if answer.status_code == 100:  # the portal's own behind Caddy's: RFC 9110 §15.2 allows several
            answer = wire.answer()
        assert answer.status_code == 201
    path = f"/api/v1/upload/{secrets.token_hex(8)}"
    with front.wire() as wire:
        wire.send(head("PUT", path, length(7), EXPECT, host=HOST))
        assert eventually(lambda: path in front.portal.log)
        wire.send(b"content")
        assert wire.answer().status_code == 401  # and no 100 before it


@BOTH
def test_a_host_that_is_not_ours_is_refused(front: FrontDoor, version: str) -> None:
    asked = ["-H", "Host: evil.example.org", "-w", "%{http_code}"]
    assert front.curl(version, "/healthz", *asked).stdout == b"421"


@BOTH
def test_a_head_of_more_than_32_kib_is_refused(front: FrontDoor, tmp_path: Path, version: str) -> None:
    told = ["-o", str(tmp_path / "told"), "-w", "%{http_code}"]
    refused = [b"431"] if version == "1.1" else [b"431", b"000"]  # 000: the connection is cut off
    for size, expected in ((25_000, [b"200"]), (33_000, refused), (60_000, refused)):
        (tmp_path / "headers").write_text(f"X-A: {'x' * size}\n")
        assert front.curl(version, "/healthz", "-H", f"@{tmp_path / 'headers'}", *told).stdout in expected


def test_a_protocol_of_another_kind_is_not_changed_to(front: FrontDoor) -> None:
    websocket = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw=="]
    for asked in (websocket, ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"]):
        with front.wire() as wire:
            for _ in range(2):
                wire.send(head("GET", "/healthz", "Connection: Upgrade, HTTP2-Settings", *asked, host=HOST))
                assert wire.answer().status_code == 200


def test_half_a_head_is_cut_off(narrow: FrontDoor) -> None:
    with narrow.wire() as wire:
        assert all_said(wire, head("GET", "/healthz", host=HOST)[:-10]) in ([], [408])


@pytest.mark.parametrize("framing", [length(1 << 20), CHUNKED], ids=["announced", "chunked"])
def test_a_stalled_body_is_cut_off_and_what_follows_is_no_request(
    narrow: FrontDoor, analyst: httpx.Client, framing: str
) -> None:
    """Four at once: which of its two answers the door gives is a race."""
    name, hidden = secrets.token_hex(8), secrets.token_hex(16)
    with contextlib.ExitStack() as wires:
        stalled = [wires.enter_context(narrow.wire()) for _ in range(4)]
        for wire in stalled:
            wire.send(put(analyst, name, framing), chunk(b"x" * 10))
        for wire in stalled:
            assert wire.answer().status_code in {499, 504}
            assert all_said(wire, head("GET", f"/api/v1/{hidden}", host=HOST)) == []
    assert eventually(lambda: statuses(narrow.portal, name) == ["failed"] * 4)
    assert hidden not in narrow.portal.log


def test_a_slow_answer_is_waited_for(narrow: FrontDoor, analyst: httpx.Client) -> None:
    """Reading a body is timed; what the portal does with it afterwards is not."""
    database = sqlite3.connect(
        narrow.portal.folder / "var" / "portal.db", isolation_level=None, check_same_thread=False
    )
    name = secrets.token_hex(8)
    with narrow.wire() as wire:
        wire.send(put(analyst, name, CHUNKED), chunk(b"conten"))
        assert eventually(lambda: statuses(narrow.portal, name) == ["pending"])
        database.execute("BEGIN IMMEDIATE")
        free = threading.Timer(4, database.execute, ["COMMIT"])
        free.start()
        wire.send(chunk(b"t"), chunk(b""))
        assert wire.answer().status_code == 201
        free.join()
    database.close()


def test_no_token_and_no_query_is_in_the_log(front: FrontDoor, analyst: httpx.Client) -> None:
    marker = secrets.token_hex(8)
    form = {"grant_type": "password", "username": "analyst", "password": PASSWORD}
    pair, token = analyst.post("/auth/token", data=form).json(), bearer(analyst).rpartition(" ")[2]
    assert analyst.get("/files", params={"name": marker}).status_code == 200
    assert problem(analyst.get(f"/{marker}", headers={"Authorization": "Basic abcdef0123456789"}))[0] == 404
    broken = ask(front, put(analyst, f"broken-{marker}", CHUNKED) + chunk(b"abc") + b"zz\r\n")
    assert broken.status_code == 502  # which is logged as an error, with the request
    assert eventually(lambda: f"broken-{marker}" in front.log)
    assert eventually(lambda: f'"uri":"/api/v1/{marker}"' in front.log)
    assert f"name={marker}" not in front.log
    for secret in (token, pair["access_token"], pair["refresh_token"], PASSWORD, "abcdef0123456789"):
        assert secret not in front.log


def test_what_the_door_itself_answers_is_a_problem_document_too(
    front: FrontDoor, narrow: FrontDoor, analyst: httpx.Client
) -> None:
    old = ask(front, head("GET", "/healthz", host=HOST, version="1.0"))
    large = ask(narrow, put(analyst, "large.bin", CHUNKED) + chunk(bytes(1 << 20)) + chunk(b"x") + chunk(b""))
    told = [problem(answer) for answer in (old, large)]
    expected = [(505, "version_not_supported"), (413, "too_large")]
    assert told == expected
    for answer in (old, large):
        assert {name: names(answer).count(name) for name in HARDENED} == dict.fromkeys(HARDENED, 1)
        assert "retry-after" not in answer.headers


def test_a_portal_that_is_away_is_told_as_the_portal_would(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        portal = stack.enter_context(running(tmp_path / "portal", {"ALLOWED_HOSTS": f"{HOST},127.0.0.1"}))
        door = stack.enter_context(opened(portal, tmp_path / "caddy"))
        portal.stop()
        answer = ask(door, head("GET", "/healthz", host=HOST))
    assert problem(answer) == (502, "unavailable")
    assert answer.headers["retry-after"] == "5"
    assert {name: names(answer).count(name) for name in HARDENED} == dict.fromkeys(HARDENED, 1)


def test_what_the_portal_lacks_is_not_told_outside(front: FrontDoor) -> None:
    for path in ("/readyz", "/READYZ", "//readyz", "/%72eadyz", "/./readyz"):
        assert ask(front, head("GET", path, host=HOST)).status_code == 404
    assert httpx.get(f"{front.portal.url}/readyz", headers={"Host": HOST}).status_code == 200


@pytest.mark.parametrize(
    ("version", "spoken"),
    [
        (ssl.TLSVersion.TLSv1, False),
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_is_1_2_or_1_3(front: FrontDoor, version: ssl.TLSVersion, *, spoken: bool) -> None:
    context = front.tls()
    context.set_ciphers("ALL:@SECLEVEL=0")  # ours would speak the old ones
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", front.port)) as plain:
        if spoken:
            with context.wrap_socket(plain, server_hostname=HOST) as client:
                assert client.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        else:
            with pytest.raises(ssl.SSLError, match=r"(?i)protocol version|unsupported protocol|PROTOCOL_VERSION"):
                context.wrap_socket(plain, server_hostname=HOST)
