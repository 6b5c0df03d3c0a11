"""Downloads: the whole file or one range of it, the headers that say what it is, and what is on record."""

import base64
import hashlib
import secrets
from typing import Any

import httpx
import pytest

from portal.web.middleware import POLICY

from .conftest import Served
from .raw import Wire, bearer, head
from .seen import events, eventually, outcomes, problem, statuses

SEGMENT = 1_048_560  # plaintext bytes of a full segment that is not the first
FIRST = SEGMENT - 40
SIZE = FIRST + SEGMENT + 5000
CONTENT = secrets.token_bytes(SIZE)
PERSONAL = {"date", "ratelimit", "x-request-id"}  # headers that differ from answer to answer


@pytest.fixture(scope="module")
def entry(portal: Served) -> dict[str, Any]:
    """A file of three segments."""
    with portal.client("analyst") as client:
        created: dict[str, Any] = client.put("/upload/three.bin", content=CONTENT).json()
    return created


def get(client: httpx.Client, entry: dict[str, Any], **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(f"/files/{entry['id']}/content", headers=named)


def downloads(portal: Served, entry: dict[str, Any]) -> int:
    return [event["event"] for event in events(portal, entry["id"])].count("file.download_started")


def impersonal(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in PERSONAL}


RANGES = {
    "bytes=0-0": (0, 1),
    "bytes=0-": (0, SIZE),
    "bytes=7-7": (7, 1),
    "bytes=5-1000": (5, 996),
    "bytes=-1": (SIZE - 1, 1),
    "bytes=-5000": (SIZE - 5000, 5000),
    f"bytes=-{SIZE}": (0, SIZE),
    f"bytes=-{SIZE + 1}": (0, SIZE),
    f"bytes={SIZE - 1}-": (SIZE - 1, 1),
    f"bytes={SIZE - 1}-{SIZE + 10}": (SIZE - 1, 1),
    "bytes=0-9223372036854775807": (0, SIZE),
    f"bytes={FIRST - 1}-{FIRST}": (FIRST - 1, 2),
    f"bytes={FIRST}-{FIRST}": (FIRST, 1),
    f"bytes={FIRST}-{FIRST + SEGMENT - 1}": (FIRST, SEGMENT),
    f"bytes={FIRST - 3}-{FIRST + SEGMENT + 2}": (FIRST - 3, SEGMENT + 6),
}


@pytest.mark.parametrize(("asked", "extent"), RANGES.items(), ids=RANGES)
def test_one_range_gives_exactly_its_bytes(
    analyst: httpx.Client, entry: dict[str, Any], asked: str, extent: tuple[int, int]
) -> None:
    start, length = extent
    part = get(analyst, entry, Range=asked)
    assert part.status_code == 206
    assert part.content == CONTENT[start : start + length]
    assert part.headers["content-length"] == str(length)
    assert part.headers["content-range"] == f"bytes {start}-{start + length - 1}/{SIZE}"


@pytest.mark.parametrize(
    "asked", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0", "bytes=9999999999999999999-"]
)
def test_a_range_outside_the_file_is_not_satisfiable(
    portal: Served, analyst: httpx.Client, entry: dict[str, Any], asked: str
) -> None:
    before = downloads(portal, entry)
    refused = get(analyst, entry, Range=asked)
    assert problem(refused) == (416, "range_not_satisfiable")
    assert refused.headers["content-range"] == f"bytes */{SIZE}"
    assert downloads(portal, entry) == before


@pytest.mark.parametrize(
    "asked",
    [
        *("bytes=5-2", "bytes=--5", "bytes=1e3-", "bytes=a-b", "bytes=", "bytes", "", "bytes=-", "bytes=1-2-3", "0-5"),
        *("bytes=0-0,1-1", "bytes=0-0,-1", "bytes=0-1, 3-4", "lines=0-5", "bytes=+1-2", "bytes=0x1-2", "bytes= 0-5"),
        *(
            "bytes=99999999999999999999-",
            "bytes=-99999999999999999999",
            "bytes=0-99999999999999999999",
            "bytes=\u0661-\u0662",
        ),
        "bytes=" + ",".join(f"{n}-{n}" for n in range(2000)),
    ],
    ids=lambda asked: ascii(asked)[:40],
)
def test_any_other_range_gives_the_whole_file(portal: Served, analyst: httpx.Client, asked: str) -> None:
    small = analyst.put(f"/upload/{secrets.token_hex(8)}", content=b"a small file").json()
    with Wire(portal.port) as wire:
        wire.send(head("GET", f"/api/v1/files/{small['id']}/content", bearer(analyst), f"Range: {asked}"))
        whole = wire.answer()
    assert (whole.status_code, whole.content) == (200, b"a small file")
    assert "content-range" not in whole.headers


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ('"{sha256}"', 206),
        ('W/"{sha256}"', 200),
        ("{sha256}", 200),
        (f'"{"0" * 64}"', 200),
        ('"1"', 200),
        ("*", 200),
        ("", 200),
        ("Wed, 21 Oct 2037 07:28:00 GMT", 200),
        ('"{sha256}", "{sha256}"', 200),
    ],
)
def test_a_range_is_given_only_of_the_bytes_that_if_range_names(
    analyst: httpx.Client, entry: dict[str, Any], condition: str, status: int
) -> None:
    told = {"Range": "bytes=0-9", "If_Range": condition.format(sha256=entry["sha256"])}
    answer = get(analyst, entry, **told)
    assert answer.status_code == status
    assert answer.content == (CONTENT[:10] if status == 206 else CONTENT)


def test_an_unmet_if_range_makes_even_a_range_outside_the_file_whole(
    analyst: httpx.Client, entry: dict[str, Any]
) -> None:
    assert get(analyst, entry, Range=f"bytes={SIZE}-", If_Range='"other"').content == CONTENT


@pytest.mark.parametrize("asked", ["bytes=0-0", "bytes=0-", "bytes=-1"])
def test_an_empty_file_has_no_range(analyst: httpx.Client, asked: str) -> None:
    empty = analyst.put(f"/upload/{secrets.token_hex(8)}", content=b"").json()
    refused = get(analyst, empty, Range=asked)
    assert (problem(refused), refused.headers["content-range"]) == ((416, "range_not_satisfiable"), "bytes */0")
    assert get(analyst, empty).headers["content-length"] == "0"


def test_a_download_says_what_it_is_and_runs_nowhere(analyst: httpx.Client) -> None:
    page = b"<html><script>alert(1)</script>"
    created = analyst.post("/files", files={"file": ("page.html", page, "text/html")}).json()
    answer = get(analyst, created)
    digest = hashlib.sha256(page).digest()
    assert answer.content == page
    assert impersonal(answer) == impersonal(answer) | {
        "content-type": "application/octet-stream",
        "content-length": str(len(page)),
        "content-disposition": "attachment; filename=\"page.html\"; filename*=UTF-8''page.html",
        "etag": f'"{digest.hex()}"',
        "repr-digest": f"sha-256=:{base64.b64encode(digest).decode()}:",
        "accept-ranges": "bytes",
        "cache-control": "no-store, private",
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
    }
    assert "transfer-encoding" not in answer.headers
    assert "server" not in answer.headers


def test_a_range_has_the_headers_of_the_whole(analyst: httpx.Client, entry: dict[str, Any]) -> None:
    whole, part = impersonal(get(analyst, entry)), impersonal(get(analyst, entry, Range="bytes=0-9"))
    assert part == whole | {"content-length": "10", "content-range": f"bytes 0-9/{SIZE}"}


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}], ids=["plain", "with a range"])
def test_head_says_what_get_would_and_counts_for_nothing(
    portal: Served, analyst: httpx.Client, headers: dict[str, str]
) -> None:
    created = analyst.put(f"/upload/{secrets.token_hex(8)}", content=b"content").json()
    target = f"/files/{created['id']}/content"
    before = events(portal, created["id"])
    told = [f"{name}: {value}" for name, value in headers.items()]
    with Wire(portal.port) as wire:
        wire.send(head("HEAD", f"/api/v1{target}", bearer(analyst), *told))
        only_head = wire.answer(to="HEAD")
        wire.send(head("GET", "/healthz"))
        assert wire.answer().json() == {"status": "ok"}
    assert only_head.status_code == 200
    assert events(portal, created["id"]) == before
    assert impersonal(only_head) == impersonal(get(analyst, created))


def test_start_and_end_of_a_download_are_on_record(portal: Served, analyst: httpx.Client) -> None:
    created = analyst.put(f"/upload/{secrets.token_hex(8)}", content=CONTENT).json()
    part = get(analyst, created, Range="bytes=10-19")
    assert eventually(lambda: outcomes(portal, created["id"]) == ["finished"])
    started, ended = events(portal, created["id"])[1:]
    assert (started["event"], started["details"]) == ("file.download_started", {"start": 10, "length": 10})
    assert ended["details"] == {"started": started["id"], "outcome": "finished", "sent": 10}
    assert started["request_id"] == ended["request_id"] == part.headers["x-request-id"]


def test_a_client_that_leaves_early_is_on_record_as_gone(portal: Served, analyst: httpx.Client) -> None:
    size = 32 << 20
    created = analyst.put(f"/upload/{secrets.token_hex(8)}", content=bytes(size)).json()
    with Wire(portal.port, receive_buffer=1 << 16) as wire:
        wire.send(head("GET", f"/api/v1/files/{created['id']}/content", bearer(analyst)))
        assert wire.read(1 << 16).startswith(b"HTTP/1.1 200")
    assert eventually(lambda: outcomes(portal, created["id"]) == ["client_gone"])
    assert events(portal, created["id"])[-1]["details"]["sent"] < size // 2
    analyst.delete(f"/files/{created['id']}", headers={"If-Match": "*"})


def test_many_clients_that_leave_take_nothing_with_them(portal: Served, analyst: httpx.Client) -> None:
    created = analyst.put(f"/upload/{secrets.token_hex(8)}", content=CONTENT).json()
    for _ in range(25):
        with Wire(portal.port, receive_buffer=1 << 12) as wire:
            wire.send(head("GET", f"/api/v1/files/{created['id']}/content", bearer(analyst)))
            wire.vanish()
    assert get(analyst, created).content == CONTENT

    def all_ended() -> bool:
        kinds = [event["event"] for event in events(portal, created["id"])]
        return kinds.count("file.download_started") == kinds.count("file.download_ended")

    assert eventually(all_ended)


def test_a_file_deleted_during_its_download_arrives_whole_or_breaks_off(portal: Served, analyst: httpx.Client) -> None:
    name = secrets.token_hex(8)
    created = analyst.put(f"/upload/{name}", content=CONTENT * 4).json()
    received = b""
    with Wire(portal.port, receive_buffer=1 << 16) as wire:
        wire.send(head("GET", f"/api/v1/files/{created['id']}/content", bearer(analyst)))
        received += wire.read(1 << 16)
        assert analyst.delete(f"/files/{created['id']}", headers={"If-Match": "*"}).status_code == 204
        assert statuses(portal, name) == []  # what was deleted has no name
        while len(received) < SIZE * 4 and (piece := wire.read(1 << 20)):
            received += piece
    assert (CONTENT * 4).startswith(received.partition(b"\r\n\r\n")[2])


def test_a_session_that_ends_during_a_download_ends_the_download(portal: Served, analyst: httpx.Client) -> None:
    size = 48 << 20
    entry = analyst.put(f"/upload/{secrets.token_hex(8)}", content=bytes(size)).json()
    with portal.client("analyst") as leaving, Wire(portal.port, receive_buffer=1 << 17) as wire:
        wire.send(head("GET", f"/api/v1/files/{entry['id']}/content", bearer(leaving)))
        received = len(wire.read(1 << 17))
        assert leaving.post("/auth/logout").status_code == 204

        def is_over() -> bool:
            nonlocal received
            piece = wire.read(1 << 17)  # slowly: 128 KiB a look
            received += len(piece)
            return not piece

        assert eventually(is_over)
        assert received < size
    assert eventually(lambda: outcomes(portal, entry["id"]) not in ([], ["finished"]))
    analyst.delete(f"/files/{entry['id']}", headers={"If-Match": "*"})
