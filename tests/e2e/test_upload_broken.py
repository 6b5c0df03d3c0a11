"""Uploads that do not come to their end: clients that leave, bodies that are short, disks that are full."""

import resource
import secrets
from collections.abc import Callable

import httpx
import pytest

from .conftest import MakePortal, Served
from .raw import FORM, Wire, bearer, chunk, head, length, part
from .seen import eventually, kept, known, problem, rows, statuses

SENT = 2_500_000  # more than two segments: something of it is on disk when the client leaves
ROOM = 2 << 20
DEPARTURES: dict[str, Callable[[Wire], None]] = {
    "closes": Wire.leave,
    "crashes": Wire.vanish,
    "ends its half": Wire.say_no_more,
}


def half_an_upload(wire: Wire, client: httpx.Client, framing: str, name: str) -> None:
    """The beginning of a body that was announced to be longer."""
    content = secrets.token_bytes(SENT)
    if framing == "form":
        start = part("file", content, filename=name)[:-2]
        wire.send(head("POST", "/api/v1/files", bearer(client), FORM, length(len(start) + 1000)), start)
    elif framing == "chunked":
        wire.send(head("PUT", f"/api/v1/upload/{name}", bearer(client), "Transfer-Encoding: chunked"), chunk(content))
    else:
        wire.send(head("PUT", f"/api/v1/upload/{name}", bearer(client), length(SENT + 1)), content)


def bytes_arrived(portal: Served) -> bool:
    unfinished = (portal.folder / "var" / "store" / "tmp").iterdir()
    return any(path.stat().st_size >= 1 << 20 for path in unfinished)


@pytest.mark.parametrize("departure", DEPARTURES)
@pytest.mark.parametrize("framing", ["announced", "chunked", "form"])
def test_of_an_upload_whose_client_left_nothing_remains(
    portal: Served, analyst: httpx.Client, framing: str, departure: str
) -> None:
    name = secrets.token_hex(8)
    with Wire(portal.port) as wire:
        half_an_upload(wire, analyst, framing, name)
        assert eventually(lambda: statuses(portal, name) == ["pending"])
        assert eventually(lambda: bytes_arrived(portal))
        assert analyst.get("/files", params={"name": name}).json()["items"] == []
        DEPARTURES[departure](wire)
        assert eventually(lambda: statuses(portal, name) == ["failed"])
    assert eventually(lambda: kept(portal) == known(portal))
    assert analyst.get("/files", params={"name": name}).json()["items"] == []
    ((file_id,),) = rows(portal, "SELECT id FROM files WHERE name = ?", name)
    assert eventually(lambda: rows(portal, "SELECT id FROM blobs WHERE file_id = ?", file_id) == [])
    failed = [event for event in portal.audit() if (event["subject"] or "").replace("-", "") == file_id]
    assert [(event["event"], event["details"]["reason"]) for event in failed] == [("file.upload_failed", "client_gone")]


def test_a_file_on_its_way_is_nowhere_to_be_seen(portal: Served, analyst: httpx.Client) -> None:
    name = secrets.token_hex(8)
    with Wire(portal.port) as wire:
        half_an_upload(wire, analyst, "announced", name)
        assert eventually(lambda: statuses(portal, name) == ["pending"])
        ((file_id,),) = rows(portal, "SELECT id FROM files WHERE name = ?", name)
        for path in ("", "/content"):
            assert problem(analyst.get(f"/files/{file_id}{path}")) == (404, "not_found")
        changed = analyst.patch(f"/files/{file_id}", json={"kind": "log"}, headers={"If-Match": "*"})
        deleted = analyst.delete(f"/files/{file_id}", headers={"If-Match": "*"})
        assert (problem(changed), problem(deleted)) == ((404, "not_found"), (404, "not_found"))
        wire.send(b"x")
        assert wire.answer().status_code == 201
    assert analyst.get(f"/files/{file_id}").status_code == 200


def test_a_session_that_ends_during_an_upload_ends_the_upload(portal: Served, analyst: httpx.Client) -> None:
    name = secrets.token_hex(8)
    with portal.client("analyst") as leaving, Wire(portal.port) as wire:
        half_an_upload(wire, leaving, "announced", name)
        assert eventually(lambda: statuses(portal, name) == ["pending"])
        assert leaving.post("/auth/logout").status_code == 204
        wire.send(b"x")
        assert problem(wire.answer()) == (401, "not_signed_in")
    assert statuses(portal, name) == ["failed"]
    assert eventually(lambda: kept(portal) == known(portal))
    assert analyst.get("/files", params={"name": name}).json()["items"] == []


def test_a_full_disk_refuses_what_does_not_fit_and_nothing_else(make_portal: MakePortal) -> None:
    portal = make_portal()
    portal.prepare(analyst="analyst")
    portal.start()
    with portal.client("analyst") as analyst:
        before = analyst.put("/upload/before.bin", content=b"before").json()
        limit_files(portal, ROOM)
        for way in ("raw", "form"):
            refused = hand_in(analyst, way, "big.bin", secrets.token_bytes(2 * ROOM))
            assert problem(refused) == (507, "storage_full")
            assert refused.headers["retry-after"].isdigit()
            assert kept(portal) == known(portal)
        assert analyst.get(f"/files/{before['id']}/content").content == b"before"
        assert hand_in(analyst, "raw", "small.bin", bytes(ROOM // 2)).status_code == 201
        assert [item["name"] for item in analyst.get("/files").json()["items"]] == ["small.bin", "before.bin"]
        assert statuses(portal, "big.bin") == ["failed", "failed"]
        reasons = [event["details"]["reason"] for event in portal.audit() if event["event"] == "file.upload_failed"]
        assert reasons == ["storage_full", "storage_full"]
        limit_files(portal, resource.RLIM_INFINITY)
        assert hand_in(analyst, "raw", "big.bin", bytes(2 * ROOM)).status_code == 201


def limit_files(portal: Served, size: int) -> None:
    """From now on no file of the portal's grows beyond `size` bytes: the kernel refuses as it does on a full disk."""
    assert portal.process is not None
    resource.prlimit(portal.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def hand_in(client: httpx.Client, way: str, name: str, content: bytes) -> httpx.Response:
    if way == "form":
        return client.post("/files", files={"file": (name, content)})
    return client.put(f"/upload/{name}", content=content)
