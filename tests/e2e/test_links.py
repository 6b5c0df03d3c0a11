"""Links over HTTP: what a stranger gets, and everything that they do not."""

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from .conftest import Served
from .raw import FORM, Wire, chunk, form_end, head, length, part
from .seen import events, eventually, kept, known, outcomes, problem, rows, statuses

CONTENT = b"what was offered"
SIZE, PIECE = 32 << 20, 1 << 16
NOT_THERE = "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d"
PASSWORD = "a kite over the harbour"
ANY = {"If-Match": "*"}


@contextmanager
def stranger(portal: Served, token: str | None = None) -> Iterator[httpx.Client]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{portal.url}/api/v1", headers=headers, timeout=60) as client:
        yield client


def hand_in(client: httpx.Client, content: bytes = CONTENT, **params: str) -> str:
    answer = client.put(f"/upload/{secrets.token_hex(8)}", content=content, params=params)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def make(client: httpx.Client, kind: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/links/{kind}", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    made: dict[str, Any] = answer.json()
    return made


def redeem(portal: Served, made: dict[str, Any], **body: str) -> str:
    with stranger(portal) as client:
        answer = client.post("/links/redeem", json={"secret": made["secret"], **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["token"])


def open_case(client: httpx.Client, **more: str) -> str:
    return str(client.post("/cases", json={"title": "A case", **more}).json()["id"])


def test_a_file_goes_out_once(portal: Served, analyst: httpx.Client) -> None:
    file_id = hand_in(analyst)
    made = make(analyst, "download", file_ids=[file_id], message="As agreed.", max_uses=1)
    with stranger(portal, redeem(portal, made)) as client:
        offered = client.get("/shared").json()
        assert (offered["message"], offered["uses_left"], offered["kind"]) == ("As agreed.", 1, "files")
        assert [(file["id"], file["size"]) for file in offered["files"]] == [(file_id, len(CONTENT))]
        path = f"/shared/files/{file_id}/content"
        described = client.head(path)
        got = client.get(path)
        assert got.content == CONTENT
        assert got.headers["content-disposition"].startswith("attachment")
        assert described.headers["repr-digest"] == got.headers["repr-digest"]
        assert problem(client.get(path)) == (409, "link_used_up")
        rest = client.get(path, headers={"Range": "bytes=5-"})
        assert (rest.status_code, rest.content) == (206, CONTENT[5:])
        assert client.get("/shared").json()["uses_left"] == 0
    with stranger(portal) as client:
        assert problem(client.post("/links/redeem", json={"secret": made["secret"]})) == (403, "link_refused")
    actors = {event["actor"] for event in events(portal, file_id) if event["event"].startswith("file.download")}
    assert actors == {f"link:{made['id']}"}


def test_what_looks_uses_nothing_up(portal: Served, analyst: httpx.Client) -> None:
    file_id = hand_in(analyst)
    made = make(analyst, "download", file_ids=[file_id])
    path = f"/shared/files/{file_id}/content"
    for _ in range(3):
        with stranger(portal, redeem(portal, made)) as client:
            assert client.get("/shared").json()["uses_left"] == 1
            assert client.head(path).status_code == 200
            for wanted in ("bytes=0-3", "bytes=1-", "bytes=-1"):
                assert problem(client.get(path, headers={"Range": wanted})) == (409, "nothing_to_resume")
            assert client.get(path, headers={"Range": "bytes=99-"}).status_code == 416
    assert outcomes(portal, file_id) == []
    with stranger(portal, redeem(portal, made)) as client:
        assert client.get(path).content == CONTENT


def test_of_fifty_at_once_one_has_it(portal: Served, analyst: httpx.Client) -> None:
    file_id = hand_in(analyst)
    token = redeem(portal, make(analyst, "download", file_ids=[file_id]))
    with stranger(portal, token) as client, ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(lambda _: client.get(f"/shared/files/{file_id}/content"), range(50)))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 49]
    assert eventually(lambda: outcomes(portal, file_id) == ["finished"])


ROUTES = [
    ("GET", "/users/me"),
    ("POST", "/users/me/password"),
    ("GET", "/files"),
    ("GET", "/files/FILE"),
    ("GET", "/files/FILE/content"),
    ("HEAD", "/files/FILE/content"),
    ("PATCH", "/files/FILE"),
    ("DELETE", "/files/FILE"),
    ("POST", "/files/FILE/move"),
    ("POST", "/files"),
    ("PUT", "/upload/a.bin"),
    ("GET", "/cases"),
    ("POST", "/cases"),
    ("GET", "/links"),
    ("POST", "/links/download"),
    ("POST", "/links/upload"),
    ("DELETE", f"/links/{NOT_THERE}"),
    ("GET", "/tokens"),
    ("POST", "/tokens"),
    ("POST", "/auth/logout"),
]


@pytest.mark.parametrize("kind", ["download", "upload"])
def test_a_links_token_opens_no_other_route(portal: Served, analyst: httpx.Client, kind: str) -> None:
    file_id = hand_in(analyst)
    made = make(analyst, kind, **({"file_ids": [file_id]} if kind == "download" else {}))
    with stranger(portal, redeem(portal, made)) as client, stranger(portal) as by_header:
        by_header.headers["X-API-Token"] = client.headers["authorization"].removeprefix("Bearer ")
        for method, path in ROUTES:
            for asking in (client, by_header):
                answer = asking.request(method, path.replace("FILE", file_id), headers=ANY)
                assert answer.status_code == 403, (method, path, answer.text)
                assert method == "HEAD" or problem(answer) == (403, "insufficient_scope")
        wrong = "/shared/upload/a.bin" if kind == "download" else f"/shared/files/{file_id}/content"
        answer = client.put(wrong, content=b"x") if kind == "download" else client.get(wrong)
        assert problem(answer) == (403, "insufficient_scope")


def test_nobody_elses_credential_opens_the_shared_routes(portal: Served, analyst: httpx.Client) -> None:
    file_id = hand_in(analyst)
    made = make(analyst, "download", file_ids=[file_id])
    token = analyst.post("/tokens", json={"name": "a script", "permissions": ["files:download"]}).json()["token"]
    for credential in (token, made["secret"], "a.b.c", analyst.headers["authorization"].removeprefix("Bearer ")):
        with stranger(portal, credential) as client:
            assert problem(client.get("/shared")) == (401, "not_signed_in")
            assert problem(client.get(f"/shared/files/{file_id}/content")) == (401, "not_signed_in")
    with stranger(portal, token) as script:
        assert problem(script.post("/links/upload", json={})) == (403, "insufficient_scope")


def test_no_token_is_made_for_the_shared_routes(analyst: httpx.Client) -> None:
    for permission in ("shared:download", "shared:upload"):
        answer = analyst.post("/tokens", json={"name": "a script", "permissions": [permission]})
        assert problem(answer)[0] == 422


def test_what_comes_in_is_in_the_case_and_nothing_of_it_can_be_read(portal: Served, analyst: httpx.Client) -> None:
    case_id = open_case(analyst)
    made = make(analyst, "upload", case_id=case_id, max_uses=3, max_bytes=1000, kinds=["log"], message="Logs, please.")
    name = secrets.token_hex(8)
    with stranger(portal, redeem(portal, made)) as client:
        raw = client.put(f"/shared/upload/{name}", content=CONTENT, params={"kind": "log"})
        form = client.post("/shared/files", files={"file": (name, CONTENT)}, data={"kind": "log"})
        for answer in (raw, form):
            assert answer.status_code == 201, answer.text
            assert set(answer.json()) == {"name", "size", "sha256", "received_at"}
            assert "location" not in answer.headers
            assert "etag" not in answer.headers
        offered = client.get("/shared").json()
        assert (offered["files"], offered["uses_left"], offered["bytes_left"]) == ([], 1, 1000 - 2 * len(CONTENT))
        assert (offered["message"], offered["kinds"]) == ("Logs, please.", ["log"])
        found = analyst.get("/files", params={"case_id": case_id, "name": name}).json()["items"]
        assert len(found) == 2
        for file in found:
            assert (file["case_id"], file["uploaded_by"]) == (case_id, f"link:{made['id']}")
            assert problem(client.get(f"/shared/files/{file['id']}/content")) == (403, "insufficient_scope")
            assert analyst.get(f"/files/{file['id']}/content").content == CONTENT


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"kind": "log", "case_id": NOT_THERE}, (422, "validation_failed")),
        ({"kind": "log", "owner_id": NOT_THERE}, (422, "validation_failed")),
        ({"kind": "pcap"}, (422, "kind_refused")),
        ({}, (422, "kind_refused")),
    ],
    ids=str,
)
def test_a_stranger_says_neither_where_nor_whose(
    portal: Served, analyst: httpx.Client, said: dict[str, str], answer: tuple[int, str]
) -> None:
    token = redeem(portal, make(analyst, "upload", kinds=["log"]))
    before = kept(portal)
    with stranger(portal, token) as client:
        assert problem(client.put("/shared/upload/a.bin", content=CONTENT, params=said)) == answer
        form = client.post("/shared/files", files={"file": ("a.bin", CONTENT)}, data=said)
        assert form.status_code in {400, 422}, form.text
        assert client.get("/shared").json()["uses_left"] == 1
    assert eventually(lambda: kept(portal) == before)


@pytest.mark.parametrize("in_case", [False, True], ids=["inbox", "case"])
def test_a_key_of_another_upload_reads_nothing(portal: Served, analyst: httpx.Client, *, in_case: bool) -> None:
    key = {"Idempotency-Key": secrets.token_hex(8)}
    analyst.put("/upload/mine.bin", content=CONTENT, headers=key)
    place = {"case_id": open_case(analyst)} if in_case else {}
    for name in ("a", "b"):
        token = redeem(portal, make(analyst, "upload", **place))
        with stranger(portal, token) as client:
            path = f"/shared/upload/{name}"
            receipts = [client.put(path, content=CONTENT, headers=key).json() for _ in range(2)]
            assert receipts == [receipts[0]] * 2
            assert receipts[0]["name"] == name
            assert client.get("/shared").json()["received"] == receipts[:1]
            assert problem(client.put("/shared/upload/c", content=CONTENT, headers=key)) == (
                422,
                "idempotency_mismatch",
            )
            form = client.post("/shared/files", files={"file": (name, CONTENT)}, headers=key)
            assert problem(form) == (422, "idempotency_mismatch")  # another declared type
            assert problem(client.put(path, content=CONTENT)) == (409, "link_used_up")


def test_a_download_that_the_store_or_the_line_broke_is_not_lost(portal: Served, analyst: httpx.Client) -> None:
    """ENOTDIR where the store was: away, and nothing was sent."""
    big = secrets.token_bytes(8 << 20)
    file_id = hand_in(analyst, big)
    made = make(analyst, "download", file_ids=[file_id])
    path, store = f"/shared/files/{file_id}/content", portal.folder / "var" / "store"
    with stranger(portal, redeem(portal, made)) as client:
        store.rename(store.with_name("away"))
        store.write_text("")
        assert problem(client.get(path)) == (503, "blob_store_away")
        store.unlink()
        store.with_name("away").rename(store)
        assert client.get("/shared").json()["uses_left"] == 1
        with client.stream("GET", path) as answer:
            next(answer.iter_bytes(1000))
        assert eventually(lambda: outcomes(portal, file_id)[-1] == "client_gone")
    with stranger(portal, redeem(portal, made)) as client:  # used up, and redeemed all the same
        rest = client.get(path, headers={"Range": f"bytes={1 << 20}-"})
        assert (rest.status_code, rest.content) == (206, big[1 << 20 :])
    with stranger(portal, redeem(portal, make(analyst, "download", file_ids=[file_id]))) as client:
        with client.stream("GET", path) as answer:
            next(answer.iter_bytes(1000))
        assert eventually(lambda: client.get(path).content == big)
        assert problem(client.get(path)) == (409, "link_used_up")


def test_more_than_is_left_is_refused_before_it_is_read(portal: Served, analyst: httpx.Client) -> None:
    token = redeem(portal, make(analyst, "upload", max_bytes=1000))
    bearer = f"Authorization: Bearer {token}"
    with Wire(portal.port) as wire:
        wire.send(head("PUT", "/api/v1/shared/upload/a", bearer, length(1001), "Expect: 100-continue"))
        assert problem(wire.answer()) == (413, "too_large")
    with Wire(portal.port) as wire:
        wire.send(head("POST", "/api/v1/shared/files", bearer, FORM, "Transfer-Encoding: chunked"))
        body = part("file", b"x" * 1001, filename="a.bin") + form_end()
        wire.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert problem(wire.answer()) == (409, "link_used_up")
    with stranger(portal, token) as client:
        assert client.put("/shared/upload/a", content=b"x" * 1000).status_code == 201
        assert problem(client.put("/shared/upload/b", content=b"")) == (409, "link_used_up")
    assert eventually(lambda: set(known(portal)) == set(kept(portal)))


def drained(wire: Wire) -> int:
    """Read slowly, so that the whole would take five seconds; how much came."""
    came = 0
    while wire.gather(PIECE):
        came += len(wire.read(PIECE))
        time.sleep(PIECE / SIZE * 5)
    return came


@pytest.mark.parametrize("end", ["revoked", "reddened", "closed", "removed"])
def test_what_ends_a_link_breaks_its_download_off(portal: Served, analyst: httpx.Client, end: str) -> None:
    with portal.client("other") as maker:
        case_id = open_case(maker)
        joined = maker.post(f"/cases/{case_id}/members", json={"user_name": "analyst", "role": "lead"})
        assert joined.status_code == 201, joined.text
        big = hand_in(maker, secrets.token_bytes(SIZE), case_id=case_id)
        made = make(maker, "download", case_id=case_id)
        maker_id = made["created_by"]
    token = redeem(portal, made)
    with Wire(portal.port, receive_buffer=1 << 14) as wire:
        wire.send(head("GET", f"/api/v1/shared/files/{big}/content", f"Authorization: Bearer {token}"))
        assert wire.gather(1)
        match end:
            case "revoked":
                done = analyst.delete(f"/links/{made['id']}")
            case "reddened":
                done = analyst.patch(f"/cases/{case_id}", json={"tlp": "RED"}, headers=ANY)
            case "closed":
                done = analyst.patch(f"/cases/{case_id}", json={"status": "closed"}, headers=ANY)
            case _:
                done = analyst.delete(f"/cases/{case_id}/members/{maker_id}")
        assert done.status_code in {200, 204}, done.text
        assert drained(wire) < SIZE
    assert eventually(lambda: outcomes(portal, big) == ["revoked"])
    with stranger(portal, token) as client:
        assert problem(client.get("/shared")) == (401, "not_signed_in")
        assert problem(client.post("/links/redeem", json={"secret": made["secret"]})) == (403, "link_refused")


def test_a_case_that_closes_takes_nothing_that_is_on_its_way(portal: Served, analyst: httpx.Client) -> None:
    case_id = open_case(analyst)
    token = redeem(portal, make(analyst, "upload", case_id=case_id))
    name = secrets.token_hex(8)
    with Wire(portal.port) as wire:
        announced = [f"Authorization: Bearer {token}", "Transfer-Encoding: chunked"]
        wire.send(head("PUT", f"/api/v1/shared/upload/{name}", *announced), chunk(b"x"))
        assert eventually(lambda: statuses(portal, name) == ["pending"])
        assert analyst.patch(f"/cases/{case_id}", json={"status": "closed"}, headers=ANY).status_code == 200
        wire.send(chunk(b"y"), chunk(b""))
        assert problem(wire.answer()) == (401, "not_signed_in")
    assert eventually(lambda: statuses(portal, name) == ["failed"])
    assert problem(analyst.post("/links/upload", json={"case_id": case_id})) == (409, "case_read_only")


def test_colours_and_rights_are_asked_when_it_is_made(portal: Served, analyst: httpx.Client) -> None:
    red = open_case(analyst, tlp="RED")
    assert problem(analyst.post("/links/download", json={"case_id": red})) == (409, "tlp_forbids_links")
    with stranger(portal, redeem(portal, make(analyst, "upload", case_id=red))) as client:  # its lead's: it takes alone
        assert client.put("/shared/upload/a", content=CONTENT).status_code == 201
    file_id = hand_in(analyst)
    with portal.client("other") as other, portal.client("auditor") as auditor:
        assert problem(other.post("/links/download", json={"file_ids": [file_id]})) == (404, "not_found")
        assert problem(other.post("/links/upload", json={"case_id": red})) == (404, "not_found")
        assert problem(other.get(f"/cases/{red}/links")) == (404, "not_found")
        assert problem(auditor.post("/links/download", json={"file_ids": [file_id]})) == (403, "forbidden")
        assert problem(other.delete(f"/links/{make(analyst, 'upload')['id']}")) == (404, "not_found")


def test_every_live_link_is_listed_without_its_secret(portal: Served, analyst: httpx.Client) -> None:
    case_id = open_case(analyst)
    made = make(analyst, "upload", case_id=case_id, password=PASSWORD)
    with portal.client("admin") as admin, portal.client("auditor") as auditor:
        mine = analyst.get("/links", params={"limit": 1}).json()
        of_case = analyst.get(f"/cases/{case_id}/links").json()["items"]
        everybodys = [client.get("/links", params={"limit": 1}).json()["items"] for client in (admin, auditor)]
        assert mine["items"] == of_case == everybodys[0] == everybodys[1]
        (link,) = of_case
        assert link == {name: value for name, value in made.items() if name != "secret"}
        assert link["has_password"] is True
        assert not {"secret", "digest", "password", "password_hash"} & set(link)
        page = analyst.get("/links", params={"limit": 1, "cursor": mine["next_cursor"]})
        assert mine["next_cursor"] is None or made["id"] not in page.text
        assert admin.delete(f"/links/{made['id']}").status_code == 204
    assert analyst.get(f"/cases/{case_id}/links").json()["items"] == []


def test_a_password_is_asked_for_and_guesses_wait(portal: Served, analyst: httpx.Client) -> None:
    made = make(analyst, "upload", password=PASSWORD)
    with stranger(portal) as client:

        def attempt(**body: str) -> httpx.Response:
            return client.post("/links/redeem", json={"secret": made["secret"], **body})

        nothing = client.post("/links/redeem", json={"secret": made["secret"][:-1] + "_", "password": PASSWORD})
        told = [attempt(), nothing, *(attempt(password=f"wrong {n}") for n in range(5))]
        assert {problem(answer) for answer in told} == {(403, "link_refused")}
        assert len({answer.json()["detail"] for answer in told}) == 1
        # The delay doubles: the right password comes while one lasts, however slow the machine is.
        assert eventually(lambda: int(attempt(password="wrong").headers.get("retry-after", 0)) > 2)
        waiting = attempt(password=PASSWORD)
        assert problem(waiting) == (429, "too_many_attempts")
        assert 0 < int(waiting.headers["retry-after"]) <= 900
        assert eventually(lambda: attempt(password=PASSWORD).status_code == 200)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("download", {}),
        ("download", {"file_ids": []}),
        ("download", {"file_ids": None}),
        ("download", {"case_id": None}),
        ("download", {"file_ids": None, "case_id": NOT_THERE}),
        ("download", {"file_ids": [NOT_THERE], "case_id": NOT_THERE}),
        ("download", {"file_ids": [NOT_THERE] * 2 + ["x"]}),
        ("download", {"case_id": NOT_THERE, "kinds": ["log"]}),
        ("download", {"case_id": NOT_THERE, "max_bytes": 1}),
        ("upload", {"file_ids": [NOT_THERE]}),
        ("upload", {"kinds": ["everything"]}),
        ("upload", {"max_bytes": 0}),
        ("upload", {"max_bytes": 1 << 70}),
        ("upload", {"max_uses": 0}),
        ("upload", {"max_uses": "1"}),
        ("upload", {"max_uses": True}),
        ("upload", {"expires_in_hours": 0}),
        ("upload", {"expires_in_hours": 2161}),
        ("upload", {"expires_at": "2099-01-01T00:00:00Z"}),
        ("upload", {"message": "a\x00b"}),
        ("upload", {"message": "x" * 2001}),
        ("upload", {"password": "short"}),
        ("upload", {"password": "passwordpassword"}),
        ("upload", {"password": "x" * 1025}),
        ("upload", {"created_by": NOT_THERE}),
        ("upload", {"secret": "prl_chosen"}),
        ("upload", {"used": -5}),
    ],
    ids=str,
)
def test_what_no_link_can_be_made_of(portal: Served, analyst: httpx.Client, kind: str, body: dict[str, Any]) -> None:
    before = len(rows(portal, "SELECT id FROM links"))
    assert problem(analyst.post(f"/links/{kind}", json=body))[0] == 422
    assert len(rows(portal, "SELECT id FROM links")) == before


@pytest.mark.parametrize(
    "body", [{}, {"secret": None}, {"secret": 7}, {"secret": "x" * 101}, {"secret": "x", "link_id": NOT_THERE}], ids=str
)
def test_what_is_no_redeeming(portal: Served, body: dict[str, Any]) -> None:
    with stranger(portal) as client:
        assert problem(client.post("/links/redeem", json=body)) == (422, "validation_failed")
        assert client.get("/links/redeem", params={"secret": "x"}).status_code == 405


def test_secrets_are_in_no_log_and_on_no_record(portal: Served, analyst: httpx.Client) -> None:
    file_id = hand_in(analyst)
    made = make(analyst, "download", file_ids=[file_id], password=PASSWORD)
    token = redeem(portal, made, password=PASSWORD)
    with stranger(portal, token) as client:
        assert client.get(f"/shared/files/{file_id}/content").content == CONTENT
        client.get(f"/shared/files/{NOT_THERE}/content")
        client.post("/links/redeem", json={"secret": made["secret"], "password": "another kite"})
        client.post("/links/redeem", content=made["secret"])
    stored = str(rows(portal, "SELECT * FROM links")) + str(rows(portal, "SELECT * FROM link_sessions"))
    for written in (portal.log, str(portal.audit()), stored):
        assert written
        for secret in (made["secret"], token, PASSWORD, "another kite"):
            assert secret not in written
