"""Clients that take their time: a head, a body or a reader that does not move is cut off, and nothing of it remains."""

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256

import httpx
import pytest

from .conftest import MakePortal, Served, running
from .raw import FORM, Wire, bearer, chunk, head, length, part
from .seen import eventually, kept, known, outcomes, problem, statuses

RATE = 1 << 12
IMPATIENT = {"HEADER_TIMEOUT_SECONDS": "2", "STALL_SECONDS": "1", "MIN_BYTES_PER_SECOND": str(RATE)}
BIG = secrets.token_bytes(24 << 20)  # more than the kernel takes for a reader that does not read
TOKEN_IN_CHUNKS = head(
    "POST", "/api/v1/auth/token", "Content-Type: application/x-www-form-urlencoded", "Transfer-Encoding: chunked"
) + chunk(b"a")
IN_FEW_PIECES = {"one piece": (2 << 20) - 1024, "a last piece that is short": 2 << 20}  # bytes
HALVES = {
    "nothing": b"",
    "a part of a request line": b"GET /heal",
    "a part of a head": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-",
}


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A portal whose patience is a second."""
    with running(tmp_path_factory.mktemp("impatient") / "portal", IMPATIENT, analyst="analyst") as made:
        yield made


@pytest.fixture
def analyst(portal: Served) -> Iterator[httpx.Client]:
    with portal.client("analyst") as client:
        yield client


@pytest.fixture
def download(portal: Served, analyst: httpx.Client) -> Iterator[tuple[Wire, str]]:
    """A reader that has asked for the big file, and the file's id."""
    entry = analyst.put("/upload/big.bin", content=BIG).json()
    with Wire(portal.port) as wire:
        wire.send(head("GET", f"/api/v1/files/{entry['id']}/content", bearer(analyst)))
        yield wire, entry["id"]


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_a_head_that_does_not_end_is_cut_off(portal: Served, half: bytes) -> None:
    with Wire(portal.port) as wire:
        wire.send(half)
        assert wire.ended()


def test_so_is_one_on_a_connection_that_was_used(portal: Served) -> None:
    with Wire(portal.port) as wire:
        wire.send(head("GET", "/healthz"), HALVES["a part of a head"])
        assert wire.answer().status_code == 200
        assert wire.ended()


def test_half_a_head_behind_a_running_download_waits_for_its_end(download: tuple[Wire, str]) -> None:
    wire, _ = download
    wire.send(HALVES["a part of a head"])
    take_slowly(wire)
    assert wire.answer().content.endswith(BIG[-100:])
    wire.send(b"Rest: of it\r\n\r\n")
    assert wire.answer().status_code == 200


ENDLESS = {
    "a head of many fields": (b"GET /healthz HTTP/1.1\r\n", b"X: " + b"x" * 1000 + b"\r\n", 431),
    "a head of one field": (b"GET /healthz HTTP/1.1\r\nX: ", b"x" * 1000, 431),
    "trailers": (TOKEN_IN_CHUNKS + b"0\r\n", b"X: " + b"x" * 1000 + b"\r\n", 400),
    "one trailer": (TOKEN_IN_CHUNKS + b"0\r\nX: ", b"x" * 1000, 400),
    "a chunk extension": (TOKEN_IN_CHUNKS + b"1;x=", b"x" * 1000, 400),
    "line breaks before a request": (b"\r\n", b"\r\n" * 500, 400),
    "line breaks behind a request": (head("GET", "/healthz"), b"\r\n" * 500, 400),
}


@pytest.mark.parametrize(("start", "more", "status"), ENDLESS.values(), ids=ENDLESS)
def test_what_has_no_end_is_refused_before_it_fills_the_memory(
    portal: Served, start: bytes, more: bytes, status: int
) -> None:
    with Wire(portal.port) as wire:
        wire.send(start)
        wire.send_each(more for _ in range(2_000))  # it is dropped where it is taken at all
        if b"healthz HTTP/1.1\r\nHost" in start:
            assert wire.answer().status_code == 200
        refused = wire.answer()
        assert problem(refused)[0] == status
        assert refused.headers["connection"] == "close"
        assert wire.ended()


@pytest.mark.parametrize("kind", ["raw", "large", "chunked", "form", "empty"])
def test_an_upload_that_stops_is_answered_and_cut_off(portal: Served, analyst: httpx.Client, kind: str) -> None:
    name = secrets.token_hex(8)
    raw = head("PUT", f"/api/v1/upload/{name}", bearer(analyst), length(100))
    large = head("PUT", f"/api/v1/upload/{name}", bearer(analyst), length(8 << 20))
    chunked = head("PUT", f"/api/v1/upload/{name}", bearer(analyst), "Transfer-Encoding: chunked")
    form = head("POST", "/api/v1/files", bearer(analyst), FORM, length(1000))
    beginnings = {
        "raw": raw + b"abc",
        "large": large + BIG[: 3 << 20],
        "chunked": chunked + chunk(b"abc"),
        "form": form + part("file", b"abc", filename=name),
        "empty": raw,
    }
    with Wire(portal.port) as wire:
        wire.send(beginnings[kind])
        refused = wire.answer()
        assert problem(refused) == (408, "too_slow")
        assert refused.headers["connection"] == "close"
        assert wire.ended()
    assert statuses(portal, name) == ["failed"]
    assert eventually(lambda: kept(portal) == known(portal))


def test_so_is_every_other_body(portal: Served, analyst: httpx.Client) -> None:
    entry = analyst.put("/upload/a.bin", content=b"a").json()
    json, form = "Content-Type: application/json", "Content-Type: application/x-www-form-urlencoded"
    patch = head("PATCH", f"/api/v1/files/{entry['id']}", bearer(analyst), "If-Match: *", json, length(50))
    for request in (patch, head("POST", "/api/v1/auth/token", form, length(50))):
        with Wire(portal.port) as wire:
            wire.send(request, b"{")
            assert problem(wire.answer()) == (408, "too_slow")
            assert wire.ended()


def test_a_body_that_comes_at_the_least_rate_is_taken(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        wire.send(head("PUT", "/api/v1/upload/slow.bin", bearer(analyst), length(8 * RATE)))
        for _ in range(8):
            time.sleep(0.2)  # a slow sender
            wire.send(bytes(RATE))
        assert wire.answer().status_code == 201


@pytest.mark.parametrize("piece", [RATE, 20_000])
def test_so_is_a_large_one_whose_end_comes_so(portal: Served, analyst: httpx.Client, piece: int) -> None:
    body = BIG[: (2 << 20) + 8 * piece]
    with Wire(portal.port) as wire:
        wire.send(head("PUT", "/api/v1/upload/slow.bin", bearer(analyst), length(len(body))), body[: 2 << 20])
        for at in range(2 << 20, len(body), piece):
            time.sleep(0.2)  # a slow sender
            wire.send(body[at : at + piece])
        answer = wire.answer()
    assert (answer.status_code, answer.json()["sha256"]) == (201, sha256(body).hexdigest())


def test_a_reader_that_does_not_read_is_cut_off(portal: Served, download: tuple[Wire, str]) -> None:
    wire, file_id = download
    assert eventually(lambda: outcomes(portal, file_id) == ["client_gone"])
    assert len(wire.rest()) < len(BIG)


@pytest.mark.parametrize("size", IN_FEW_PIECES.values(), ids=IN_FEW_PIECES)
def test_a_reader_has_its_place_until_it_took_the_last_piece(make_portal: MakePortal, size: int) -> None:
    """What the connection holds for it is the memory of a running download, and was not delivered."""
    portal = make_portal(MAX_TRANSFERS_PER_CALLER="2")
    portal.prepare(analyst="analyst")
    portal.start()
    with portal.client("analyst") as analyst, ExitStack() as readers:
        file_id = analyst.put("/upload/few.bin", content=BIG[:size]).json()["id"]
        wires = [readers.enter_context(Wire(portal.port, receive_buffer=1)) for _ in range(3)]
        for wire, status in zip(wires, (b"200", b"200", b"429"), strict=True):
            wire.send(head("GET", f"/api/v1/files/{file_id}/content", bearer(analyst)))
            assert wire.read(12) == b"HTTP/1.1 " + status
            time.sleep(0.1)  # longer than a thread has patience with a reader: the connection has the rest
        for wire in wires:
            wire.vanish()
        assert eventually(lambda: outcomes(portal, file_id) == ["client_gone"] * 2)
    assert '"level": "error"' not in portal.log


def test_a_reader_that_leaves_with_a_request_behind_its_download_leaves_nothing(
    portal: Served, download: tuple[Wire, str]
) -> None:
    """The server tells the last request alone that the client is gone."""
    wire, file_id = download
    wire.send(head("GET", "/healthz"))
    assert wire.gather(1)
    wire.vanish()
    assert eventually(lambda: outcomes(portal, file_id) == ["client_gone"])


def test_a_reader_that_reads_slowly_is_not(portal: Served, download: tuple[Wire, str]) -> None:
    wire, file_id = download
    take_slowly(wire)
    assert wire.answer().content.endswith(BIG[-100:])
    assert eventually(lambda: outcomes(portal, file_id) == ["finished"])


def test_garbage_behind_a_request_changes_nothing_of_its_answer(download: tuple[Wire, str]) -> None:
    wire, _ = download
    start = wire.read(1)
    wire.send(b"\0\0 no request\r\n\r\n")
    assert (start + wire.rest()).partition(b"\r\n\r\n")[2] == BIG


def take_slowly(wire: Wire) -> None:
    """Read for longer than the portal's patience, at more than the least rate: the pace is the input here."""
    for _ in range(12):
        time.sleep(0.2)
        assert wire.gather(1 << 19)
