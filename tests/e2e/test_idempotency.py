"""Idempotency-Key: who sends the same file again has it once; the same key for anything else is refused."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from .conftest import Served
from .raw import Wire, bearer, chunk, head, length
from .seen import eventually, kept, known, problem, statuses

CHUNKED = "Transfer-Encoding: chunked"

WAYS = ("form", "raw")


def key() -> str:
    return secrets.token_urlsafe(24)


def hand_in(
    client: httpx.Client, way: str, under: str, content: bytes = b"content", name: str = "same.bin", **fields: str
) -> httpx.Response:
    headers = {"Idempotency-Key": under}
    if way == "form":
        return client.post("/files", files={"file": (name, content)}, data=fields, headers=headers)
    return client.put(f"/upload/{name}", content=content, params=fields, headers=headers)


@pytest.mark.parametrize("way", WAYS)
def test_the_same_file_twice_is_one_file(portal: Served, analyst: httpx.Client, way: str) -> None:
    under, name = key(), secrets.token_hex(8)
    answers = [hand_in(analyst, way, under, name=name, kind="log") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert statuses(portal, name) == ["ready"]
    assert eventually(lambda: kept(portal) == known(portal))


@pytest.mark.parametrize("way", WAYS)
def test_without_a_key_the_same_file_twice_is_two(portal: Served, analyst: httpx.Client, way: str) -> None:
    name = secrets.token_hex(8)
    for under in (key(), key()):
        assert hand_in(analyst, way, under, name=name).status_code == 201
    assert statuses(portal, name) == ["ready", "ready"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "difference",
    [{"content": b"Content"}, {"kind": "pcap"}, {"description": "another"}, {"name": "other.bin"}],
    ids=["content", "kind", "description", "name"],
)
def test_the_same_key_for_something_else_is_refused(
    portal: Served, analyst: httpx.Client, way: str, difference: dict[str, str]
) -> None:
    under, name = key(), secrets.token_hex(8)
    first = hand_in(analyst, way, under, name=name, kind="log")
    told: dict[str, str] = {"name": name, "kind": "log"} | difference
    again = hand_in(analyst, way, under, **told)  # type: ignore[arg-type]  # the content is bytes
    assert problem(again) == (422, "idempotency_mismatch")
    assert statuses(portal, name) == ["ready"]
    assert analyst.get(f"/files/{first.json()['id']}").json() == first.json()
    assert eventually(lambda: kept(portal) == known(portal))


def test_while_the_first_is_in_flight_the_second_waits_its_turn(portal: Served, analyst: httpx.Client) -> None:
    under, name = key(), secrets.token_hex(8)
    headers = [bearer(analyst), f"Idempotency-Key: {under}", CHUNKED]
    with Wire(portal.port) as wire:
        wire.send(head("PUT", f"/api/v1/upload/{name}", *headers), chunk(b"cont"))
        assert eventually(lambda: statuses(portal, name) == ["pending"])
        for way in WAYS:
            refused = hand_in(analyst, way, under, name=name)
            assert problem(refused) == (409, "idempotency_in_flight")
            assert refused.headers["retry-after"].isdigit()
        wire.send(chunk(b"ent"), chunk(b""))
        first = wire.answer()
    assert first.status_code == 201
    assert hand_in(analyst, "raw", under, name=name).json() == first.json()
    assert statuses(portal, name) == ["ready"]


def test_of_many_at_once_one_is_kept(portal: Served, analyst: httpx.Client) -> None:
    under, name = key(), secrets.token_hex(8)
    content = secrets.token_bytes(300_000)
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: hand_in(analyst, "raw", under, content, name), range(6)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    created = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert len(created) == 1
    assert statuses(portal, name) == ["ready"]
    assert eventually(lambda: kept(portal) == known(portal))


@pytest.mark.parametrize("way", WAYS)
def test_after_a_refused_upload_the_key_is_free(analyst: httpx.Client, way: str) -> None:
    under = key()
    wrong = {"Idempotency-Key": under}
    if way == "form":
        form = {"file": ("same.bin", b"content")}
        refused = analyst.post("/files", files=form, data={"sha256": "0" * 64}, headers=wrong)
    else:
        wrong["Repr-Digest"] = f"sha-256=:{'A' * 43}=:"
        refused = analyst.put("/upload/same.bin", content=b"content", headers=wrong)
    assert problem(refused) == (400, "digest_mismatch")
    assert hand_in(analyst, way, under, b"another content").status_code == 201


def test_after_a_client_left_the_key_is_free(portal: Served, analyst: httpx.Client) -> None:
    under, name = key(), secrets.token_hex(8)
    with Wire(portal.port) as wire:
        headers = [bearer(analyst), f"Idempotency-Key: {under}", CHUNKED]
        wire.send(head("PUT", f"/api/v1/upload/{name}", *headers), chunk(b"cont"))
        assert eventually(lambda: statuses(portal, name) == ["pending"])
    assert eventually(lambda: statuses(portal, name) == ["failed"])
    assert hand_in(analyst, "raw", under, b"another content", name).status_code == 201


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [7, 300_000], ids=["small", "large"])
def test_a_late_retry_never_makes_a_deleted_file_anew(
    portal: Served, analyst: httpx.Client, way: str, size: int
) -> None:
    under, name = key(), secrets.token_hex(8)
    first = hand_in(analyst, way, under, bytes(size), name).json()
    assert analyst.delete(f"/files/{first['id']}", headers={"If-Match": "*"}).status_code == 204
    for content in (bytes(size), b"another"):
        assert problem(hand_in(analyst, way, under, content, name)) == (409, "idempotency_gone")
    assert statuses(portal, name) == []  # a deleted row has no name
    assert hand_in(analyst, way, key(), bytes(size), name).status_code == 201


@pytest.mark.parametrize("way", WAYS)
def test_tokens_of_two_cases_have_keys_of_their_own(analyst: httpx.Client, way: str) -> None:
    under, made = key(), set()
    for number in range(2):
        case = analyst.post("/cases", json={"title": "a case"}).json()["id"]
        told = {"name": "collector", "permissions": ["files:upload"], "case_id": case}
        token = analyst.post("/tokens", json=told).json()["token"]
        with httpx.Client(base_url=analyst.base_url, headers={"X-API-Token": token}, timeout=60) as collector:
            for _ in range(2):
                created = hand_in(collector, way, under, f"host {number}".encode(), case_id=case)
                assert (created.status_code, created.json()["case_id"]) == (201, case)
                made.add(created.json()["id"])
    made.add(hand_in(analyst, way, under, b"host 3").json()["id"])
    assert len(made) == 3


def test_a_key_whose_file_is_out_of_reach_is_told_so(portal: Served, analyst: httpx.Client) -> None:
    under = key()
    case = analyst.post("/cases", json={"title": "a case"}).json()["id"]
    with portal.client("other") as other:
        me = other.get("/users/me").json()
        member = {"user_name": me["name"], "role": "contributor"}
        assert analyst.post(f"/cases/{case}/members", json=member).status_code == 201
        first = hand_in(other, "raw", under, case_id=case)
        assert first.status_code == 201
        assert analyst.delete(f"/cases/{case}/members/{me['id']}").status_code == 204
        assert problem(hand_in(other, "raw", under)) == (409, "idempotency_gone")


def test_keys_are_each_users_own(portal: Served, analyst: httpx.Client) -> None:
    under = key()
    mine = hand_in(analyst, "raw", under).json()
    with portal.client("other") as other:
        theirs = hand_in(other, "raw", under, b"another content")
        assert theirs.status_code == 201
        assert theirs.json()["id"] != mine["id"]
        assert problem(other.get(f"/files/{mine['id']}")) == (404, "not_found")


@pytest.mark.parametrize("under", ["", "x" * 201, "two words", "tab\there", "umlaut-ä"], ids=ascii)
def test_a_key_that_is_none_is_refused(portal: Served, analyst: httpx.Client, under: str) -> None:
    name = secrets.token_hex(8)
    with Wire(portal.port) as wire:
        headers = [bearer(analyst), f"Idempotency-Key: {under}", length(7)]
        wire.send(head("PUT", f"/api/v1/upload/{name}", *headers), b"content")
        assert problem(wire.answer()) == (422, "validation_failed")
    assert statuses(portal, name) == []
