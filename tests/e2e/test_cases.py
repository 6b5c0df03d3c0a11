"""Cases on a real server: what they take and give, and what a member who is removed loses at once."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from .desk import Desk
from .raw import Wire, bearer, head
from .seen import eventually, outcomes, problem

ANY = {"If-Match": "*"}
CONTENT = b"the case's"
REASON = "Court order 26/1187 of 21 November."
SOMEBODY = "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d"


def test_a_case_is_opened_read_and_changed_by_versions(desk: Desk) -> None:
    opened = desk["lead"].post("/cases", json={"title": "é🔑", "severity": "high", "tlp": "AMBER+STRICT"})
    case = opened.json()
    assert (opened.headers["location"], opened.headers["etag"]) == (f"/api/v1/cases/{case['id']}", '"1"')
    assert (case["title"], case["status"], case["tlp"], case["description"]) == ("é🔑", "open", "AMBER+STRICT", "")
    url = f"/cases/{case['id']}"
    assert problem(desk["lead"].patch(url, json={"title": "x"})) == (428, "precondition_required")
    changed = desk["lead"].patch(url, json={"tlp": "RED"}, headers={"If-Match": '"1"'})
    assert (changed.json()["tlp"], changed.headers["etag"]) == ("RED", '"2"')
    assert problem(desk["lead"].patch(url, json={}, headers={"If-Match": '"1"'})) == (412, "precondition_failed")
    refused = desk["lead"].patch(url, json={"status": "archived"}, headers=ANY)
    assert problem(refused) == (409, "case_status_refused")
    assert problem(desk["lead"].delete(url)) == (428, "precondition_required")
    assert desk["lead"].delete(url, headers={"If-Match": '"2"'}).status_code == 204
    assert problem(desk["lead"].get(url)) == (404, "not_found")


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"title": ""},
        {"title": "  "},
        {"title": "\u00a0\u200b"},
        {"title": "two\nlines"},
        {"title": "x" * 201},
        {"title": 7},
        {"title": "\x00"},
        {"title": "x", "tlp": "amber"},
        {"title": "x", "tlp": "WHITE"},
        {"title": "x", "severity": "extreme"},
        {"title": "x", "description": "x" * 10_001},
        {"title": "x", "number": "2026-0001"},
        {"title": "x", "status": "closed"},
        {"title": "x", "id": SOMEBODY},
        {"title": "x", "created_by": SOMEBODY},
        {"title": "x", "version": 7},
        {"title": "x", "members": []},
    ],
    ids=str,
)
def test_what_is_not_the_clients_to_say_of_a_case_is_refused(desk: Desk, said: dict[str, Any]) -> None:
    assert problem(desk["lead"].post("/cases", json=said)) == (422, "validation_failed")


@pytest.mark.parametrize("field", ["number", "created_by", "created_at", "id", "version", "case_id", "role"])
def test_no_field_of_a_case_or_member_is_written_that_is_not_offered(desk: Desk, field: str) -> None:
    case = desk.open_case()
    url = f"/cases/{case['id']}"
    asked = (
        desk["lead"].patch(url, json={field: "x"}, headers=ANY),
        desk["lead"].post(f"{url}/members", json={"user_name": "stranger", "role": "reader", f"{field}_": "x"}),
        desk["lead"].put(f"{url}/members/{desk.id_of('reader')}", json={"role": "reader", f"{field}_": "x"}),
    )
    assert [problem(answer) for answer in asked] == [(422, "validation_failed")] * 3


def test_cases_are_paged_and_cursors_are_good_for_their_own_listing(desk: Desk) -> None:
    cases = [desk.open_case()["id"] for _ in range(3)]
    first = desk["lead"].get("/cases", params={"limit": 2}).json()
    second = desk["lead"].get("/cases", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [item["id"] for item in first["items"] + second["items"]][:3] == cases[::-1]
    for client, url in ((desk["lead"], "/files"), (desk["lead"], "/cases?status=open"), (desk["admin"], "/cases")):
        answer = client.get(url, params={**httpx.URL(url).params, "limit": "2", "cursor": first["next_cursor"]})
        assert problem(answer) == (400, "invalid_input")


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "too short",
        " " * 10,
        "\u2800" * 10,
        "why?" + " " * 20,
        "x" * 1001,
        7,
        None,
        ["a reason, in a list"],
        "\x00" * 20,
    ],
)
def test_a_reason_is_ten_to_a_thousand_characters(desk: Desk, reason: Any) -> None:
    entry = desk.hand_in(desk.open_case())
    refused = desk["admin"].post(f"/files/{entry['id']}/break-glass", json={"reason": reason})
    assert problem(refused) == (422, "validation_failed")
    assert problem(desk["admin"].get(f"/files/{entry['id']}/content")) == (403, "forbidden")


def test_glass_is_broken_for_all_its_case_to_see(desk: Desk) -> None:
    case = desk.open_case()
    entry = desk.hand_in(case)
    url = f"/files/{entry['id']}"
    broken = desk["admin"].post(f"{url}/break-glass", json={"reason": REASON})
    assert broken.status_code == 201
    assert desk["admin"].get(f"{url}/content").content == CONTENT
    shown = desk["lead"].get(f"/cases/{case['id']}/break-glass").json()["items"]
    assert [(item["file_id"], item["user_id"], item["reason"]) for item in shown] == [
        (entry["id"], desk.id_of("admin"), REASON)
    ]
    assert shown[0]["expires_at"] == broken.json()["expires_at"]


def test_the_case_stands_before_the_file_in_a_form(desk: Desk) -> None:
    case = desk.open_case()
    parts = [("file", ("x", CONTENT)), ("case_id", (None, case["id"]))]
    assert problem(desk["lead"].post("/files", files=parts)) == (400, "invalid_input")
    assert desk["lead"].post("/files", data={"case_id": ""}, files={"file": ("x", CONTENT)}).json()["case_id"] is None
    entry = desk["lead"].post("/files", files=parts[::-1]).json()
    assert entry["case_id"] == case["id"]


@pytest.mark.parametrize("text", ["1", "x", "{}", "' OR 1=1", "../", "0" * 31, "urn:uuid:" + "0" * 32])
def test_a_case_that_is_no_id_is_refused(desk: Desk, text: str) -> None:
    assert desk["lead"].post("/files", data={"case_id": text}, files={"file": ("x", CONTENT)}).status_code == 422
    assert desk["lead"].put("/upload/x", params={"case_id": text}, content=CONTENT).status_code in {404, 422}
    assert desk["lead"].get("/files", params={"case_id": text}).status_code in {404, 422}
    entry = desk.hand_in(None)
    assert desk["lead"].post(f"/files/{entry['id']}/move", json={"case_id": text}, headers=ANY).status_code in {
        404,
        422,
    }
    assert desk["lead"].post(f"/files/{entry['id']}/move", json={}, headers=ANY).status_code == 422


def test_a_file_moves_and_is_read_where_it_is(desk: Desk) -> None:
    case = desk.open_case()
    entry = desk.hand_in(None)
    url = f"/files/{entry['id']}"
    assert entry["case_id"] is None
    assert problem(desk["reader"].get(url)) == (404, "not_found")
    assert problem(desk["lead"].post(f"{url}/move", json={"case_id": case["id"]})) == (428, "precondition_required")
    moved = desk["lead"].post(f"{url}/move", json={"case_id": case["id"]}, headers={"If-Match": '"1"'})
    here = {"case_id": case["id"], "version": 2, "available_at": moved.json()["available_at"]}
    assert (moved.json(), moved.headers["etag"]) == (entry | here, '"2"')
    assert here["available_at"] > entry["available_at"]
    assert desk["reader"].get(f"{url}/content").content == CONTENT
    back = desk["lead"].post(f"{url}/move", json={"case_id": None}, headers={"If-Match": '"2"'})
    assert back.json() == entry | {"version": 3, "available_at": back.json()["available_at"]}
    assert problem(desk["reader"].get(url)) == (404, "not_found")


def test_a_closed_case_takes_no_file_and_gives_its_own(desk: Desk) -> None:
    case = desk.open_case()
    entry = desk.hand_in(case)
    desk["lead"].patch(f"/cases/{case['id']}", json={"status": "closed"}, headers=ANY)
    assert problem(desk["lead"].put("/upload/x", content=CONTENT, params={"case_id": case["id"]})) == (
        409,
        "case_read_only",
    )
    assert problem(desk["lead"].delete(f"/files/{entry['id']}", headers=ANY)) == (409, "case_read_only")
    assert desk["reader"].get(f"/files/{entry['id']}/content").content == CONTENT


def test_a_member_who_is_removed_loses_the_running_download(desk: Desk) -> None:
    case, size = desk.open_case(), 48 << 20
    entry = desk.hand_in(case, bytes(size))
    with Wire(desk.portal.port, receive_buffer=1 << 17) as wire:
        wire.send(head("GET", f"/api/v1/files/{entry['id']}/content", bearer(desk["reader"])))
        received = len(wire.read(1 << 17))
        gone = desk["lead"].delete(f"/cases/{case['id']}/members/{desk.id_of('reader')}")
        assert gone.status_code == 204

        def is_over() -> bool:
            nonlocal received
            piece = wire.read(1 << 17)  # slowly: 128 KiB a look
            received += len(piece)
            return not piece

        assert eventually(is_over)
        assert received < size
    assert eventually(lambda: outcomes(desk.portal, entry["id"]) == ["revoked"])


def test_a_member_who_is_removed_has_handed_in_nothing(desk: Desk) -> None:
    case = desk.open_case()

    def body() -> Iterator[bytes]:
        yield b"x" * 1000
        assert desk["lead"].delete(f"/cases/{case['id']}/members/{desk.id_of('contributor')}").status_code == 204
        yield b"x" * 1000

    refused = desk["contributor"].put("/upload/late", content=body(), params={"case_id": case["id"]})
    assert problem(refused) == (404, "not_found")
    assert desk["lead"].get("/files", params={"case_id": case["id"]}).json()["items"] == []
    assert desk["lead"].delete(f"/cases/{case['id']}", headers=ANY).status_code == 204
