"""Large bodies, which go past the HTTP parser: every byte is taken once, and what stands behind is the next request."""

import contextlib
import resource
import secrets
from collections.abc import Callable
from hashlib import sha256

import httpx
import pytest

from .conftest import MakePortal, Served
from .raw import BOUNDARY, FORM, Wire, bearer, form_end, head, length, part
from .seen import descriptors, eventually, is_taken, kept, known, problem, statuses

CONTENT = secrets.token_bytes(8 << 20)
NEXT = head("GET", "/healthz")
KIB, MIB = 1 << 10, 1 << 20
DEPARTURES: dict[str, Callable[[Wire], None]] = {
    "closes": Wire.leave,
    "crashes": Wire.vanish,
    "ends its half": Wire.say_no_more,
}


def put(client: httpx.Client, size: int, *headers: str, version: str = "1.1", name: str = "direct.bin") -> bytes:
    return head("PUT", f"/api/v1/upload/{name}", bearer(client), length(size), *headers, version=version)


def send_with_pauses(portal: Served, wire: Wire, content: bytes, size: int) -> None:
    """Piece by piece, the next when the portal waits for it."""
    for at in range(0, len(content), size):
        wire.send(content[at : at + size])
        assert eventually(lambda: is_taken(portal, wire))


def assert_taken(answer: httpx.Response, content: bytes = CONTENT) -> None:
    assert answer.status_code == 201, answer.text
    assert (answer.json()["size"], answer.json()["sha256"]) == (len(content), sha256(content).hexdigest())


@pytest.mark.parametrize("size", [4095, 65_535, 65_536, 65_537, 262_145, MIB - 1, MIB, MIB + 1, 3 * MIB + 7, 8 * MIB])
def test_pieces_of_any_size_are_one_body(portal: Served, analyst: httpx.Client, size: int) -> None:
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT)))
        wire.send_each(CONTENT[at : at + size] for at in range(0, len(CONTENT), size))
        assert_taken(wire.answer())


@pytest.mark.parametrize("size", [400_001, MIB, 2 * MIB + 1])
def test_pauses_between_the_pieces_change_nothing(portal: Served, analyst: httpx.Client, size: int) -> None:
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT)))
        assert eventually(lambda: is_taken(portal, wire))
        send_with_pauses(portal, wire, CONTENT, size)
        assert_taken(wire.answer())


def test_the_first_and_the_last_bytes_may_come_one_by_one(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT)))
        send_with_pauses(portal, wire, CONTENT[:20], 1)
        wire.send(CONTENT[20:-20])
        send_with_pauses(portal, wire, CONTENT[-20:], 1)
        assert_taken(wire.answer())


def test_what_was_taken_comes_out_again(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT)), CONTENT)
        entry = wire.answer().json()
    assert analyst.get(f"/files/{entry['id']}/content").content == CONTENT


def test_a_client_that_waits_to_be_told_is_told(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        for _ in range(2):
            wire.send(put(analyst, len(CONTENT), "Expect: 100-continue"))
            assert wire.answer().status_code == 100
            wire.send(CONTENT)
            assert_taken(wire.answer())


def test_one_that_does_not_wait_is_taken_all_the_same(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT), "Expect: 100-continue"), CONTENT, NEXT)
        answer = wire.answer()
        assert_taken(wire.answer() if answer.status_code == 100 else answer)
        assert wire.answer().json() == {"status": "ok"}


def test_the_next_request_may_follow_at_once(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT)), CONTENT, NEXT)
        assert_taken(wire.answer())
        assert wire.answer().json() == {"status": "ok"}
        wire.send(NEXT)
        assert wire.answer().status_code == 200


@pytest.mark.parametrize("behind", [1, len(NEXT) // 2, len(NEXT)])
@pytest.mark.parametrize("tail", [1, 1000, 100_000])
def test_the_next_request_may_share_the_packet_of_the_last_bytes(
    portal: Served, analyst: httpx.Client, tail: int, behind: int
) -> None:
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT)))
        send_with_pauses(portal, wire, CONTENT[:-tail], 4 * MIB)
        wire.send(CONTENT[-tail:] + NEXT[:behind])
        assert_taken(wire.answer())
        wire.send(NEXT[behind:])
        assert wire.answer().json() == {"status": "ok"}


def test_upload_after_upload_on_one_connection_all_sent_at_once(portal: Served, analyst: httpx.Client) -> None:
    places = ((0, 2 * MIB), (7, 10), (99, 3 * MIB + 1), (5, 0), (1, MIB + 1))
    contents = [CONTENT[at : at + size] for at, size in places]
    with Wire(portal.port) as wire:
        for content in contents:
            wire.send(put(analyst, len(content)), content)
        for content in contents:
            assert_taken(wire.answer(), content)


AROUND = sorted(
    {mark + by for mark in (64 * KIB, MIB, MIB + 64 * KIB, 2 * MIB, 2 * MIB + 64 * KIB) for by in (-1, 0, 1)}
)


@pytest.mark.parametrize("size", AROUND)
def test_a_body_of_any_length_ends_where_it_was_announced_to(portal: Served, analyst: httpx.Client, size: int) -> None:
    with Wire(portal.port) as wire:
        wire.send(put(analyst, size), CONTENT[:size], NEXT)
        assert_taken(wire.answer(), CONTENT[:size])
        assert wire.answer().json() == {"status": "ok"}
        wire.send(put(analyst, size))
        send_with_pauses(portal, wire, CONTENT[:size], size // 2)
        assert_taken(wire.answer(), CONTENT[:size])


def test_a_body_of_requests_is_a_body_and_what_follows_it_is_one_request(portal: Served, analyst: httpx.Client) -> None:
    content = (head("DELETE", "/api/v1/files") * 200_000)[: 8 * MIB]
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(content)))
        send_with_pauses(portal, wire, content[:-100], 3 * MIB)
        wire.send(content[-100:] + head("GET", "/healthz", "Connection: close"))
        assert_taken(wire.answer(), content)
        assert wire.answer().json() == {"status": "ok"}
        assert wire.ended()


@pytest.mark.parametrize("garbage", [b"\0\0 no request\r\n\r\n", b"x" * 1000 + b"\r\n\r\n", CONTENT[:5000]])
def test_garbage_behind_a_body_is_no_request(portal: Served, analyst: httpx.Client, garbage: bytes) -> None:
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT)), CONTENT, garbage)
        assert wire.rest().count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("size", [30_000, 500_000, 8 * MIB])
def test_a_body_longer_than_announced_has_its_own_answer(portal: Served, analyst: httpx.Client, size: int) -> None:
    """As of a log that grows while it is sent."""
    with Wire(portal.port) as wire:
        wire.send(put(analyst, size), CONTENT[:size], b"line\n" * 20_000)
        assert_taken(wire.answer(), CONTENT[:size])
        assert wire.ended()


def test_a_client_that_ends_its_half_behind_the_body_is_answered(portal: Served, analyst: httpx.Client) -> None:
    for content in (CONTENT, b"small"):
        with Wire(portal.port) as wire:
            wire.send(put(analyst, len(content)), content)
            wire.say_no_more()
            assert_taken(wire.answer(), content)
            assert wire.ended()


def test_behind_an_end_that_was_announced_nothing_is_answered(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT), "Connection: close"))
        send_with_pauses(portal, wire, CONTENT[:-1], 8 * MIB)
        wire.send(CONTENT[-1:] + NEXT)
        assert_taken(wire.answer())
        assert wire.ended()
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT)), CONTENT, head("GET", "/healthz", "Connection: close") + NEXT)
        assert_taken(wire.answer())
        assert wire.answer().json() == {"status": "ok"}
        assert wire.ended()


def test_http_1_0_with_a_length_is_taken(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT), version="1.0"), CONTENT)
        assert_taken(wire.answer())
        assert wire.ended()


@pytest.mark.parametrize("size", [65_537, 700_000, 8 * MIB])
def test_a_form_is_taken_apart_the_same_way(portal: Served, analyst: httpx.Client, size: int) -> None:
    content = CONTENT[: 4 * MIB] + f"\r\n--{BOUNDARY}".encode()[:-1] + CONTENT[4 * MIB :]
    form = part("file", content, filename="form.bin") + part("description", b"behind it") + form_end()
    with Wire(portal.port) as wire:
        wire.send(head("POST", "/api/v1/files", bearer(analyst), FORM, length(len(form))))
        send_with_pauses(portal, wire, form[:-3], size)
        wire.send(form[-3:] + NEXT)
        answer = wire.answer()
        assert_taken(answer, content)
        assert answer.json()["description"] == "behind it"
        assert wire.answer().json() == {"status": "ok"}


@pytest.mark.parametrize("departure", DEPARTURES)
@pytest.mark.parametrize("sent", [300_000, 3 * MIB, 8 * MIB - 1])
def test_of_a_client_that_leaves_in_the_middle_nothing_stays(
    portal: Served, analyst: httpx.Client, departure: str, sent: int
) -> None:
    name = secrets.token_hex(8)
    assert eventually(lambda: kept(portal) == known(portal))
    before, said_before = descriptors(portal), len(portal.log)
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT), name=name))
        send_with_pauses(portal, wire, CONTENT[:sent], 2 * MIB)
        DEPARTURES[departure](wire)
        assert eventually(lambda: statuses(portal, name) == ["failed"])
    assert eventually(lambda: kept(portal) == known(portal))
    assert eventually(lambda: descriptors(portal) <= before)
    said = portal.log[said_before:]
    assert "request_failed" not in said
    assert "never retrieved" not in said


def test_those_who_leave_take_nothing_from_those_who_stay(portal: Served, analyst: httpx.Client) -> None:
    for _ in range(20):
        with Wire(portal.port) as leaving, Wire(portal.port) as staying:
            leaving.send(put(analyst, len(CONTENT)), CONTENT[: 5 * MIB])
            leaving.vanish()
            staying.send(put(analyst, 2 * MIB), CONTENT[: 2 * MIB])
            assert_taken(staying.answer(), CONTENT[: 2 * MIB])
    assert eventually(lambda: kept(portal) == known(portal))


@pytest.fixture
def small(make_portal: MakePortal) -> Served:
    """A portal whose files may have four megabytes."""
    portal = make_portal(MAX_UPLOAD_BYTES=str(64 * MIB))
    portal.prepare(analyst="analyst")
    portal.start()
    assert portal.process is not None
    resource.prlimit(portal.process.pid, resource.RLIMIT_FSIZE, (4 * MIB, resource.RLIM_INFINITY))
    return portal


@pytest.mark.parametrize("size", [100_000, MIB])
def test_a_refusal_in_the_middle_ends_the_connection_and_the_rest_is_no_request(small: Served, size: int) -> None:
    requests = NEXT * (32 * MIB // len(NEXT))
    with small.client("analyst") as analyst, Wire(small.port) as wire:
        wire.send(put(analyst, len(requests), name="refused.bin"))
        with contextlib.suppress(AssertionError, OSError):  # it hangs up, or takes no more
            send_with_pauses(small, wire, requests, size)
        said = wire.rest()
        assert said.count(b"HTTP/1.1 ") <= 1
        assert said == b"" or said.startswith(b"HTTP/1.1 507")
        assert statuses(small, "refused.bin") == ["failed"]
        assert eventually(lambda: kept(small) == known(small))
        assert "/healthz" not in small.log.rpartition("refused.bin")[2]


def test_a_digest_that_does_not_match_is_told_and_the_connection_goes_on(portal: Served, analyst: httpx.Client) -> None:
    wrong = "Repr-Digest: sha-256=:" + "A" * 43 + "=:"
    with Wire(portal.port) as wire:
        wire.send(put(analyst, len(CONTENT), wrong), CONTENT, NEXT)
        assert 400 <= problem(wire.answer())[0] < 500
        assert wire.answer().json() == {"status": "ok"}
    assert eventually(lambda: kept(portal) == known(portal))


def test_a_large_body_that_is_too_large_is_refused_before_a_byte_of_it(portal: Served, analyst: httpx.Client) -> None:
    with Wire(portal.port) as wire:
        wire.send(put(analyst, 65 * MIB), CONTENT[:100])
        assert problem(wire.answer()) == (413, "too_large")
        assert wire.ended()
