"""Changing and deleting files: only the version that was read, only what may be changed, and no way back."""

import secrets
from typing import Any

import httpx
import pytest

from .conftest import Served
from .raw import Wire, bearer, chunk, head, length
from .seen import blob_file, events, eventually, kept, known, problem, rows

ANY = {"If-Match": "*"}
BAD_JSON = {
    "nothing": b"",
    "half": b'{"kind": "log"',
    "no object": b'["kind", "log"]',
    "a text": b'"log"',
    "null": b"null",
    "NaN": b'{"description": NaN}',
    "Infinity": b'{"description": Infinity}',
    "minus Infinity": b'{"description": -Infinity}',
    "a number too large": b'{"description": 1e400}',
    "a number too long": b'{"description": %s}' % (b"9" * 5000),
    "a lone surrogate": b'{"description": "\\ud800"}',
    "a lone surrogate as a key": b'{"\\ud800": "x"}',
    "a surrogate in UTF-8": b'{"description": "\xed\xa0\x80"}',
    "a key twice": b'{"description": "a", "description": "b"}',
    "a key twice, once escaped": b'{"kind": "log", "\\u006bind": "pcap"}',
    "UTF-16": '{"kind": "log"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"kind": "log"}'.encode("utf-16-le"),
    "a byte order mark": b'\xef\xbb\xbf{"kind": "log"}',
    "Latin-1": '{"description": "ä"}'.encode("latin-1"),
    "deep arrays": b'{"description": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a NUL": b'{"description": "a\\u0000b"}',
    "a raw NUL": b'{"description": "a\x00b"}',
    "a control character": b'{"description": "a\\u0007b"}',
    "a control character in the name": b'{"name": "a\\u001bb"}',
    "a C1 control character in the name": b'{"name": "a\\u0085b"}',
    "a line break in the name": b'{"name": "a\\nb"}',
    "an empty name": b'{"name": ""}',
    "a name that is too long": b'{"name": "%s"}' % (b"x" * 4097),
    "a description that is too long": b'{"description": "%s"}' % (b"x" * 4001),
    "a number for a text": b'{"description": 7}',
    "a truth for a text": b'{"name": true}',
    "an unknown kind": b'{"kind": "virus"}',
    "a list for a kind": b'{"kind": ["log"]}',
}
NOT_FOR_CLIENTS = [
    *("id", "owner_id", "sha256", "size", "status", "scan_verdict", "created_at", "version", "scope", "record"),
    *("data_key_id", "declared_content_type", "detected_content_type", "is_admin", "role", "storage_path", "__class__"),
]


def hand_in(client: httpx.Client, content: bytes = b"content") -> dict[str, Any]:
    entry: dict[str, Any] = client.put(f"/upload/{secrets.token_hex(8)}.bin", content=content).json()
    return entry


def test_a_change_names_the_version_it_read(portal: Served, analyst: httpx.Client) -> None:
    entry = hand_in(analyst)
    read = analyst.get(f"/files/{entry['id']}")
    new = {"name": "renamed.bin", "kind": "evidence", "description": "line\n\tend"}
    changed = analyst.patch(f"/files/{entry['id']}", json=new, headers={"If-Match": read.headers["etag"]})
    assert (changed.status_code, changed.json()) == (200, entry | new | {"version": 2})
    assert changed.headers["etag"] != read.headers["etag"]
    again = analyst.get(f"/files/{entry['id']}")
    assert (again.json(), again.headers["etag"]) == (changed.json(), changed.headers["etag"])
    updated = events(portal, entry["id"])[-1]
    assert updated["event"] == "file.updated"
    assert updated["details"] == {
        "name_before": entry["name"],
        "name_after": "renamed.bin",
        "kind_before": "other",
        "kind_after": "evidence",
        "description_before": "",
        "description_after": "line\n\tend",
    }


@pytest.mark.parametrize("tag", ['"2"', 'W/"1"', '"1", "1"', '"one"', '"01x"'])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_another_tag_than_the_current_changes_nothing(analyst: httpx.Client, method: str, tag: str) -> None:
    entry = hand_in(analyst)
    body = {"json": {"kind": "log"}} if method == "PATCH" else {}
    refused = analyst.request(method, f"/files/{entry['id']}", headers={"If-Match": tag}, **body)  # type: ignore[arg-type]
    assert problem(refused) == (412, "precondition_failed")
    assert analyst.get(f"/files/{entry['id']}").json() == entry


@pytest.mark.parametrize("text", ["1", "", "**", '"1'])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_what_is_no_tag_is_told_how_to_write_one_instead_of_to_read_again(
    analyst: httpx.Client, method: str, text: str
) -> None:
    entry = hand_in(analyst)
    body = {"json": {"kind": "log"}} if method == "PATCH" else {}
    refused = analyst.request(method, f"/files/{entry['id']}", headers={"If-Match": text}, **body)  # type: ignore[arg-type]
    assert problem(refused) == (400, "invalid_input")
    assert 'If-Match: "1"' in refused.json()["detail"]
    assert analyst.get(f"/files/{entry['id']}").json() == entry


def test_the_version_in_a_list_is_the_one_that_a_change_names(analyst: httpx.Client) -> None:
    entry = hand_in(analyst)
    (listed,) = analyst.get("/files", params={"name": entry["name"]}).json()["items"]
    tag = {"If-Match": f'"{listed["version"]}"'}
    assert analyst.patch(f"/files/{entry['id']}", json={"kind": "log"}, headers=tag).json()["version"] == 2


def test_a_stale_tag_changes_nothing(analyst: httpx.Client) -> None:
    entry = hand_in(analyst)
    path, first = f"/files/{entry['id']}", {"If-Match": '"1"'}
    changed = analyst.patch(path, json={"kind": "log"}, headers=first)
    assert changed.status_code == 200
    assert problem(analyst.patch(path, json={"kind": "pcap"}, headers=first)) == (412, "precondition_failed")
    assert problem(analyst.delete(path, headers=first)) == (412, "precondition_failed")
    assert analyst.get(path).json() == changed.json()
    assert analyst.delete(path, headers={"If-Match": changed.headers["etag"]}).status_code == 204


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_without_a_version_is_asked_for_one(analyst: httpx.Client, method: str) -> None:
    entry = hand_in(analyst)
    body = {"json": {"kind": "log"}} if method == "PATCH" else {}
    refused = analyst.request(method, f"/files/{entry['id']}", **body)  # type: ignore[arg-type]
    assert problem(refused) == (428, "precondition_required")
    assert analyst.get(f"/files/{entry['id']}").json() == entry


def test_a_star_takes_whatever_version_there_is(analyst: httpx.Client) -> None:
    path = f"/files/{hand_in(analyst)['id']}"
    for kind in ("log", "pcap"):
        assert analyst.patch(path, json={"kind": kind}, headers=ANY).json()["kind"] == kind
    assert analyst.delete(path, headers=ANY).status_code == 204


@pytest.mark.parametrize("field", NOT_FOR_CLIENTS)
def test_what_is_not_the_clients_to_say_is_refused(analyst: httpx.Client, field: str) -> None:
    entry = hand_in(analyst)
    value = entry.get(field, "x")
    refused = analyst.patch(f"/files/{entry['id']}", json={"kind": "log", field: value}, headers=ANY)
    assert problem(refused) == (422, "validation_failed")
    assert analyst.get(f"/files/{entry['id']}").json() == entry


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON)
def test_json_that_will_not_do_is_refused_and_not_echoed(analyst: httpx.Client, body: bytes) -> None:
    entry = hand_in(analyst)
    headers = ANY | {"Content-Type": "application/json"}
    refused = analyst.patch(f"/files/{entry['id']}", content=body, headers=headers)
    assert problem(refused)[0] in {400, 422}
    assert len(refused.content) < 1500
    assert analyst.get(f"/files/{entry['id']}").json() == entry


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_json_of_another_type_is_refused(analyst: httpx.Client, content_type: str) -> None:
    entry = hand_in(analyst)
    headers = ANY | {"Content-Type": content_type}
    refused = analyst.patch(f"/files/{entry['id']}", content=b'{"kind": "log"}', headers=headers)
    assert problem(refused)[0] in {415, 422}
    assert analyst.get(f"/files/{entry['id']}").json() == entry


def test_announced_json_of_fifty_megabytes_is_refused_unread(portal: Served, analyst: httpx.Client) -> None:
    target = f"/api/v1/files/{hand_in(analyst)['id']}"
    with Wire(portal.port) as wire:
        wire.send(
            head("PATCH", target, bearer(analyst), "If-Match: *", "Content-Type: application/json", length(50 << 20))
        )
        answer = wire.answer()
        assert problem(answer) == (413, "too_large")
        assert answer.headers["connection"] == "close"
        assert wire.ended()


def test_unannounced_json_is_cut_off_at_a_mebibyte(portal: Served, analyst: httpx.Client) -> None:
    target = f"/api/v1/files/{hand_in(analyst)['id']}"
    headers = [bearer(analyst), "If-Match: *", "Content-Type: application/json", "Transfer-Encoding: chunked"]
    with Wire(portal.port) as wire:
        wire.send(head("PATCH", target, *headers), chunk(b'{"description": "'), chunk(b"x" * (1 << 20)))
        answer = wire.answer()
        assert problem(answer) == (413, "too_large")
        assert answer.headers["connection"] == "close"
        assert wire.ended()


def test_a_deleted_file_is_gone_everywhere(portal: Served, analyst: httpx.Client) -> None:
    entry = hand_in(analyst, secrets.token_bytes(1_100_000))
    path, blob = f"/files/{entry['id']}", blob_file(portal, entry["id"])
    assert blob.stat().st_size > entry["size"]
    deleted = analyst.delete(path, headers={"If-Match": '"1"'})
    assert (deleted.status_code, deleted.content) == (204, b"")
    left = "SELECT wrapped_key FROM blobs WHERE file_id = ?"
    assert rows(portal, left, entry["id"].replace("-", "")) == [(None,)]
    with portal.client("admin") as admin:
        for client in (analyst, admin):
            answers = [client.get(path), client.get(f"{path}/content"), client.delete(path, headers=ANY)]
            answers.append(client.patch(path, json={"kind": "log"}, headers=ANY))
            assert [problem(answer) for answer in answers] == [(404, "not_found")] * 4
            assert client.head(f"{path}/content").status_code == 404
            assert client.get("/files", params={"name": entry["name"]}).json()["items"] == []
    assert blob.exists()  # without a key, until its grace is over
    portal.cli("sweep", "--no-grace")
    assert not blob.exists()
    assert eventually(lambda: kept(portal) == known(portal))
    file_id = entry["id"].replace("-", "")
    assert rows(portal, "SELECT * FROM blobs WHERE file_id = ?", file_id) == []
    assert rows(portal, "SELECT status, record FROM files WHERE id = ?", file_id) == [("deleted", None)]
    last = events(portal, entry["id"])[-1]
    assert last["event"] == "file.deleted"
    assert last["details"] == {"name": entry["name"], "sha256": entry["sha256"], "case_id": None}


def test_a_refused_change_leaves_no_trace_in_the_record(portal: Served, analyst: httpx.Client) -> None:
    entry = hand_in(analyst)
    before = events(portal, entry["id"])
    analyst.patch(f"/files/{entry['id']}", json={"kind": "log"}, headers={"If-Match": '"9"'})
    analyst.delete(f"/files/{entry['id']}", headers={"If-Match": '"9"'})
    assert events(portal, entry["id"]) == before
