"""How a portal ends: told to, in the middle of transfers, or killed; and that what it left is settled afterwards."""

import re
import secrets
import signal
import socket
from pathlib import Path

import httpx

from .conftest import MakePortal, Served
from .raw import FORM, Wire, bearer, head, length, part
from .seen import eventually, kept, known, outcomes, problem, statuses

SENT = 3_000_000
GRACE = {"GRACE_SECONDS": "1"}


def started(make_portal: MakePortal, **settings: str) -> Served:
    portal = make_portal(**settings)
    portal.prepare(analyst="analyst")
    portal.start()
    return portal


def half_an_upload(portal: Served, client: httpx.Client, wire: Wire, name: str, **headers: str) -> None:
    told = [f"{header}: {value}" for header, value in headers.items()]
    wire.send(head("PUT", f"/api/v1/upload/{name}", bearer(client), length(SENT + 1), *told), secrets.token_bytes(SENT))
    assert eventually(lambda: any(path.stat().st_size >= 1 << 20 for path in unfinished(portal)))


def half_a_form(portal: Served, client: httpx.Client, wire: Wire, name: str) -> None:
    begun = len(unfinished(portal))
    file = part("file", secrets.token_bytes(SENT), filename=name)
    wire.send(head("POST", "/api/v1/files", bearer(client), FORM, length(len(file) + 1)), file)
    assert eventually(lambda: len(unfinished(portal)) > begun)


def unfinished(portal: Served) -> list[Path]:
    return list((portal.folder / "var" / "store" / "tmp").iterdir())


def is_whole(portal: Served) -> bool:
    """After a sweep of a portal that is stopped, nothing is left that no listed file has."""
    portal.cli("sweep", "--older-than", "0s")
    checked = portal.cli("fsck", "--full", check=False)
    return checked.returncode == 0 and unfinished(portal) == [] and kept(portal) == known(portal)


def test_told_to_stop_while_transfers_run_it_ends_by_itself(make_portal: MakePortal) -> None:
    portal = started(make_portal, **GRACE)
    content = secrets.token_bytes(32 << 20)
    with portal.client("analyst") as analyst, Wire(portal.port) as upload, Wire(portal.port) as form:
        entry = analyst.put("/upload/whole.bin", content=content).json()
        half_an_upload(portal, analyst, upload, "half.bin")
        half_a_form(portal, analyst, form, "form.bin")
        with Wire(portal.port, receive_buffer=1 << 14) as download:
            download.send(head("GET", f"/api/v1/files/{entry['id']}/content", bearer(analyst)))
            received = download.read(1 << 14)
            assert portal.stop() == 0
            while piece := download.read(1 << 20):
                received += piece
        assert [problem(wire.answer()) for wire in (upload, form)] == [(503, "portal_stopped")] * 2
    assert len(received) < len(content)
    assert outcomes(portal, entry["id"]) == ["portal_stopped"]
    failed = [event["details"] for event in portal.audit() if event["event"] == "file.upload_failed"]
    assert failed == [{"reason": "portal_stopped"}] * 2
    assert not re.search("Traceback|exception", portal.log)
    assert is_whole(portal)
    assert statuses(portal, "half.bin") == statuses(portal, "form.bin") == ["failed"]
    assert statuses(portal, "whole.bin") == ["ready"]


def test_a_transfer_that_ends_within_the_grace_is_not_cut_off(make_portal: MakePortal) -> None:
    portal = started(make_portal, GRACE_SECONDS="15")
    assert portal.process is not None
    with portal.client("analyst") as analyst, Wire(portal.port) as wire:
        half_an_upload(portal, analyst, wire, "late.bin")
        portal.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not takes_connections(portal))
        wire.send(b"x")
        assert wire.answer().status_code == 201
    assert portal.process.wait(20) == 0
    portal.process = None
    assert statuses(portal, "late.bin") == ["ready"]
    assert kept(portal) == known(portal)


def takes_connections(portal: Served) -> bool:
    try:
        with Wire(portal.port):
            return True
    except ConnectionRefusedError:
        return False


def test_workers_end_with_a_parent_that_was_killed_and_leave_its_port(make_portal: MakePortal) -> None:
    portal = make_portal(**GRACE)
    portal.prepare(analyst="analyst")
    portal.start("--workers", "2")
    assert portal.process is not None
    workers = started_by(portal.process.pid)
    assert len(workers) >= 2
    with portal.client("analyst") as analyst, Wire(portal.port) as wire:
        half_an_upload(portal, analyst, wire, "half.bin")
        assert portal.stop(signal.SIGKILL) == -signal.SIGKILL
        assert eventually(lambda: not any(map(runs, workers)), seconds=30)
    with socket.create_server(("127.0.0.1", portal.port)):
        pass
    assert statuses(portal, "half.bin") == ["failed"]


def started_by(parent: int) -> list[int]:
    """Its workers, and what watches over the semaphores that they share."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_what_a_crash_left_is_settled_by_a_sweep(make_portal: MakePortal) -> None:
    portal = started(make_portal)
    key = {"Idempotency-Key": secrets.token_hex(8)}
    with portal.client("analyst") as analyst, Wire(portal.port) as wire:
        entry = analyst.put("/upload/whole.bin", content=b"whole").json()
        half_an_upload(portal, analyst, wire, "half.bin", **key)
        assert portal.stop(signal.SIGKILL) == -signal.SIGKILL
    assert unfinished(portal) != []
    assert statuses(portal, "half.bin") == ["pending"]
    assert is_whole(portal)
    assert statuses(portal, "half.bin") == ["failed"]
    (event,) = [event for event in portal.audit() if event["event"] == "file.upload_failed"]
    assert (event["actor"], event["details"]) == ("system:sweep", {"reason": "lease_expired"})
    portal.start()
    with portal.client("analyst") as analyst:
        assert [item["id"] for item in analyst.get("/files").json()["items"]] == [entry["id"]]
        assert analyst.get(f"/files/{entry['id']}/content").content == b"whole"
        again = analyst.put("/upload/half.bin", content=b"again", headers=key)
        assert again.status_code == 201
    assert portal.stop() == 0


def test_workers_end_with_their_parent_and_leave_the_port(make_portal: MakePortal) -> None:
    portal = make_portal(**GRACE)
    portal.prepare(analyst="analyst")
    portal.start("--workers", "2")
    assert portal.process is not None
    parent = portal.process.pid
    workers = [Path(f"/proc/{pid}") for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    assert len(workers) >= 2
    assert portal.stop(signal.SIGKILL) == -signal.SIGKILL
    assert eventually(lambda: not any(alive(worker) for worker in workers))
    assert not takes_connections(portal)
    assert portal.log.count('"parent_gone"') == 2


def alive(process: Path) -> bool:
    """Whether it runs: an orphan that has ended stays in the list until its new parent has looked."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
