"""A portal that may open no more files: it refuses, crashes nothing, forgets nothing, and recovers by itself."""

import resource
import secrets
from pathlib import Path

from .conftest import MakePortal, Served
from .raw import Wire, head
from .seen import eventually, kept, known, problem, statuses

CONTENT = secrets.token_bytes(1_500_000)
CROWD = 60


def limit_descriptors(portal: Served, most: int | None) -> None:
    """From now on the portal has at most so many files and connections open; None is as many as it could at first."""
    assert portal.process is not None
    _, hard = resource.prlimit(portal.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(portal.process.pid, resource.RLIMIT_NOFILE, (hard if most is None else most, hard))


def what_is_open(portal: Served) -> int:
    """A limit under which the portal keeps what it has, and gets no descriptor more."""
    assert portal.process is not None
    used = {int(path.name) for path in Path(f"/proc/{portal.process.pid}/fd").iterdir()}
    return next(number for number in range(len(used) + 1) if number not in used)


def made(make_portal: MakePortal) -> Served:
    portal = make_portal()
    portal.prepare(analyst="analyst")
    portal.start()
    return portal


def is_unharmed(portal: Served) -> bool:
    """It is the process that was started, met no bug, and holds nothing that no file has."""
    assert portal.process is not None
    portal.cli("sweep", "--older-than", "0s")
    return portal.process.poll() is None and "request_failed" not in portal.log and kept(portal) == known(portal)


def is_turned_away(portal: Served) -> bool:
    """A new connection is refused, closed without an answer, or told to come again."""
    try:
        with Wire(portal.port) as wire:
            wire.send(head("GET", "/healthz"))
            return wire.answer().status_code == 503
    except (OSError, IndexError):  # no connection, or one that was closed before an answer
        return True


def test_a_portal_out_of_descriptors_refuses_and_recovers(make_portal: MakePortal) -> None:
    portal = made(make_portal)
    with portal.client("analyst") as reader, portal.client("analyst") as writer:
        entry = writer.put("/upload/before.bin", content=CONTENT).json()
        assert reader.get(f"/files/{entry['id']}/content").content == CONTENT
        limit_descriptors(portal, what_is_open(portal))
        for _ in range(3):
            assert problem(reader.get(f"/files/{entry['id']}/content"))[0] == 503
            assert is_turned_away(portal)
            assert reader.get("/users/me").status_code == 200  # who is connected needs none
        refused = writer.put("/upload/refused.bin", content=b"small")
        assert problem(refused)[0] == 503
        assert refused.headers["retry-after"].isdigit()
        limit_descriptors(portal, None)
        assert eventually(lambda: not is_turned_away(portal))
        assert writer.put("/upload/after.bin", content=CONTENT).status_code == 201
        assert reader.get(f"/files/{entry['id']}/content").content == CONTENT
        assert [item["name"] for item in reader.get("/files").json()["items"]] == ["after.bin", "before.bin"]
    assert is_unharmed(portal)
    assert statuses(portal, "refused.bin") == ["failed"]


def test_connections_that_take_every_descriptor_take_nothing_for_good(make_portal: MakePortal) -> None:
    portal = made(make_portal)
    with portal.client("analyst") as analyst:
        entry = analyst.put("/upload/before.bin", content=CONTENT).json()
        limit_descriptors(portal, what_is_open(portal) + CROWD // 2)
        silent = [Wire(portal.port) for _ in range(CROWD)]  # each says nothing and stays
        assert eventually(lambda: is_turned_away(portal))
        for wire in silent:
            wire.leave()
        assert eventually(lambda: not is_turned_away(portal))
        assert analyst.get(f"/files/{entry['id']}/content").content == CONTENT
        assert analyst.put("/upload/after.bin", content=CONTENT).status_code == 201
    assert is_unharmed(portal)
