"""Listing files: order, pages, cursors, filters, and parameters that are refused."""

import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from ..openapi_document import parameters_of
from .conftest import Served
from .seen import problem


def hand_in(client: httpx.Client, name: str, content: bytes = b"content", **fields: str) -> dict[str, Any]:
    created = client.post("/files", files={"file": (name, content)}, data=fields)
    assert created.status_code == 201, created.text
    entry: dict[str, Any] = created.json()
    return entry


def found(client: httpx.Client, **filters: str) -> list[str]:
    answer = client.get("/files", params=filters)
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


def walk(client: httpx.Client, **filters: str) -> list[list[str]]:
    """Every page's ids, until there is no cursor."""
    pages: list[list[str]] = []
    cursor: dict[str, str] = {}
    while len(pages) < 20:
        answer = client.get("/files", params=filters | cursor).json()
        pages.append([item["id"] for item in answer["items"]])
        if answer["next_cursor"] is None:
            return pages
        cursor = {"cursor": answer["next_cursor"]}
    pytest.fail("the listing does not end")


def test_the_newest_comes_first_and_pages_neither_repeat_nor_skip(analyst: httpx.Client) -> None:
    mark = secrets.token_hex(8)
    newest_first = [hand_in(analyst, f"{mark}-{number}")["id"] for number in range(7)][::-1]
    assert walk(analyst, name=mark) == [newest_first]
    assert walk(analyst, name=mark, limit="7") == [newest_first]
    assert walk(analyst, name=mark, limit="3") == [newest_first[:3], newest_first[3:6], newest_first[6:]]
    assert walk(analyst, name=mark, limit="1") == [[one] for one in newest_first]


def test_what_is_new_or_gone_in_the_meantime_moves_no_other_file(analyst: httpx.Client) -> None:
    mark = secrets.token_hex(8)
    ids = [hand_in(analyst, f"{mark}-{number}")["id"] for number in range(4)][::-1]
    first = analyst.get("/files", params={"name": mark, "limit": "2"}).json()
    assert analyst.delete(f"/files/{ids[1]}", headers={"If-Match": "*"}).status_code == 204
    hand_in(analyst, f"{mark}-new")
    rest = analyst.get("/files", params={"name": mark, "limit": "2", "cursor": first["next_cursor"]}).json()
    assert [item["id"] for item in rest["items"]] == ids[2:]


def test_a_page_may_have_two_hundred_files_and_has_fifty_at_first(analyst: httpx.Client) -> None:
    assert analyst.get("/files", params={"limit": "200"}).status_code == 200
    document = httpx.get(str(analyst.base_url).replace("/api/v1/", "/openapi.json")).json()
    parameters = parameters_of(document["paths"]["/api/v1/files"]["get"], document)
    (limit,) = [parameter["schema"] for parameter in parameters if parameter["name"] == "limit"]
    assert (limit["default"], limit["minimum"], limit["maximum"]) == (50, 1, 200)


def test_a_cursor_is_good_for_its_own_listing_alone(portal: Served, analyst: httpx.Client) -> None:
    mark = secrets.token_hex(8)
    for number in range(3):
        hand_in(analyst, f"{mark}-{number}", kind="log")
    asked = {"name": mark, "limit": "1"}
    cursor = analyst.get("/files", params=asked).json()["next_cursor"]
    assert analyst.get("/files", params=asked | {"cursor": cursor, "limit": "2"}).status_code == 200
    for other in ({"name": mark[:8]}, {"name": mark, "kind": "log"}, {}):
        refused = analyst.get("/files", params={**other, "cursor": cursor})
        assert problem(refused) == (400, "invalid_input")
    with portal.client("other") as other_analyst:
        assert problem(other_analyst.get("/files", params=asked | {"cursor": cursor})) == (400, "invalid_input")


def test_a_cursor_that_was_tampered_with_is_refused(analyst: httpx.Client) -> None:
    mark = secrets.token_hex(8)
    for number in range(2):
        hand_in(analyst, f"{mark}-{number}")
    cursor = analyst.get("/files", params={"name": mark, "limit": "1"}).json()["next_cursor"]
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    flipped = [raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :] for place in (0, 15, 16, 40, len(raw) - 1)]
    spoilt = [base64.urlsafe_b64encode(raw[:-1]).decode(), *(base64.urlsafe_b64encode(one).decode() for one in flipped)]
    for text in (*spoilt, "", "x", "ä", "%", "=" * 8, base64.urlsafe_b64encode(bytes(80)).decode()):
        refused = analyst.get("/files", params={"name": mark, "cursor": text})
        assert problem(refused) == (400, "invalid_input"), text


def test_the_name_filter_finds_a_part_in_any_case(analyst: httpx.Client) -> None:
    mark = secrets.token_hex(8)
    hand_in(analyst, f"{mark}-Report.PDF")
    hand_in(analyst, f"{mark}-notes.txt")
    assert found(analyst, name=f"{mark}-REPORT.p") == [f"{mark}-Report.PDF"]
    assert found(analyst, name=f"{mark}-notes.txt.") == []


@pytest.mark.parametrize("wild", ["%", "_", "/", "\\", "*", "'"])
def test_wildcards_in_the_name_filter_stand_for_themselves(analyst: httpx.Client, wild: str) -> None:
    mark = secrets.token_hex(8)
    hand_in(analyst, f"{mark}axb")
    assert found(analyst, name=f"{mark}a{wild}b") == []
    assert analyst.put(f"/upload/{mark}a%{ord(wild):02x}b", content=b"x").status_code == 201
    assert found(analyst, name=f"{mark}a{wild}b") == [f"{mark}a{wild}b"]


def test_filters_narrow_together(analyst: httpx.Client) -> None:
    mark, content = secrets.token_hex(8), secrets.token_bytes(40)
    digest = hashlib.sha256(content).hexdigest()
    entries = [
        hand_in(analyst, f"{mark}-{number}", content if number else b"other", kind=kind)
        for number, kind in enumerate(("log", "log", "pcap"))
    ]
    zero, one, two = (entry["name"] for entry in entries)
    assert found(analyst, sha256=digest) == [two, one]
    assert found(analyst, name=mark, kind="log") == [one, zero]
    assert found(analyst, sha256=digest, kind="log", name=mark) == [one]
    created = [entry["created_at"] for entry in entries]
    assert found(analyst, name=mark, created_from=created[1]) == [two, one]
    assert found(analyst, name=mark, created_to=created[1]) == [zero]
    assert found(analyst, name=mark, created_from=created[0], created_to=created[2]) == [one, zero]
    assert found(analyst, name=mark, created_from=created[0].replace("Z", "+00:00"), kind="report") == []
    assert found(analyst, name=mark, created_from=created[0], created_to=created[0]) == []
    pasted = created[1].replace("Z", "+00:00")  # as it is: a plus in a query is a blank
    (item, _) = analyst.get(f"/files?name={mark}&created_from={pasted}").json()["items"]
    assert item["name"] == two
    assert found(analyst, sha256=digest.upper()) == [two, one]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=201",
        "limit=1000000000",
        "limit=99999999999999999999",
        "limit=1e2",
        "limit=ten",
        f"limit={'9' * 5000}",
        "limit=1.0",
        "limit=true",
        "limit=",
        "offset=1",
        "sort=name",
        "owner_id=1",
        "Limit=1",
        "kind=LOG",
        "kind=virus",
        "sha256=abc",
        f"sha256={'G' * 64}",
        "order=oldest",
        "available_from=now",
        "created_from=2026-02-01T00:00:00Z&created_to=2026-01-01T00:00:00Z",
        "available_from=2026-02-01T00:00:00Z&available_to=2026-01-31T23:59:59.999999Z",
        "name=",
        f"name={'x' * 256}",
        "name=a%07b",
        "created_from=yesterday",
        "created_from=2026-01-01T00:00:00",
        "created_from=7",
        "created_from=2026-01-01",
        "created_to=0.5",
        "created_to=1e400",
        "created_to=2026-13-01T00:00:00Z",
        "created_to=2026-01-01T00:00:00%2b99:99",
        f"created_to=2026-01-01T00:00:00.{'0' * 400}Z",
        f"cursor={'x' * 513}",
        "limit=1&limit=1",
        "name=a&name=b",
        "limit=1&%6cimit=1",
        "name=a&n%61me=a",
    ],
)
def test_parameters_that_will_not_do_are_refused(analyst: httpx.Client, query: str) -> None:
    refused = analyst.get(f"/files?{query}")
    assert problem(refused)[0] == 422
    assert "virus" not in refused.text


def test_a_query_that_a_route_does_not_read_changes_nothing(analyst: httpx.Client) -> None:
    entry, query = hand_in(analyst, secrets.token_hex(8)), "?role=admin&owner_id=1&range=bytes=0-0&disposition=inline"
    for path in ("/users/me", f"/files/{entry['id']}", f"/files/{entry['id']}/content"):
        plain, asked = analyst.get(path), analyst.get(path + query)
        assert (asked.status_code, asked.content) == (200, plain.content)
        assert asked.headers.get("content-disposition") == plain.headers.get("content-disposition")


@pytest.mark.parametrize("query", ["name=%ff", "name=%c3%28", "name=a%00b", "%00=1", "name=%ed%a0%80"])
def test_a_query_that_is_not_utf_8_text_is_malformed(analyst: httpx.Client, query: str) -> None:
    assert problem(analyst.get(f"/files?{query}")) == (400, "invalid_input")


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("end", ["created_from", "created_to"])
def test_a_moment_outside_of_all_calendars_is_refused(analyst: httpx.Client, end: str, moment: str) -> None:
    assert problem(analyst.get("/files", params={end: moment})) == (422, "validation_failed")


@pytest.mark.parametrize("limit", ["+5", "1_0", " 5", "5 ", "1.0", "0x5", "true", "NaN", "\u0665"], ids=ascii)
def test_a_limit_is_digits_and_nothing_else(analyst: httpx.Client, limit: str) -> None:
    assert problem(analyst.get(f"/files?limit={quote(limit)}")) == (422, "validation_failed")


@pytest.mark.parametrize(("name", "part"), [("ÄPFEL.txt", "äpfel"), ("ЖУК", "жук")])
def test_the_name_filter_knows_the_case_of_every_alphabet(analyst: httpx.Client, name: str, part: str) -> None:
    mark = secrets.token_hex(8)
    entry = analyst.put(f"/upload/{mark}{quote(name)}", content=b"x").json()
    found = analyst.get("/files", params={"name": f"{mark}{part}"}).json()["items"]
    assert [item["id"] for item in found] == [entry["id"]]
