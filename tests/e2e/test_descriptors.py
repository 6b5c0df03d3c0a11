"""A portal that may open no more files: it refuses, crashes nothing, forgets nothing, and recovers by itself."""

import resource
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Served, running
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
    open_now = Path(f"/proc/{portal.process.pid}/fd")
    assert eventually(lambda: not any("/store/" in str(path.resolve()) for path in open_now.iterdir()))
    used = {int(path.name) for path in open_now.iterdir()}
    return next(number for number in range(len(used) + 1) if number not in used)


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A portal that nobody shares who does not run it out of descriptors."""
    with running(tmp_path_factory.mktemp("descriptors") / "portal", {}, analyst="analyst") as made:
        yield made


def is_unharmed(portal: Served) -> bool:
    """It is the process that was started, met no bug, and holds nothing that no file has."""
    assert portal.process is not None
    assert eventually(lambda: kept(portal) == known(portal))
    return portal.process.poll() is None and "request_failed" not in portal.log


def is_turned_away(portal: Served) -> bool:
    """A new connection is refused, closed without an answer, or told to come again."""
    try:
        with Wire(portal.port) as wire:
            wire.send(head("GET", "/healthz"))
            return wire.answer().status_code == 503
    except (OSError, IndexError):  # no connection, or one that was closed before an answer
        return True


def test_a_portal_out_of_descriptors_refuses_and_recovers(portal: Served) -> None:
    mark = secrets.token_hex(4)
    with portal.client("analyst") as reader, portal.client("analyst") as writer:
        entry = writer.put(f"/upload/{mark}-before", content=CONTENT).json()
        assert reader.get(f"/files/{entry['id']}/content").content == CONTENT
        limit_descriptors(portal, what_is_open(portal))
        for _ in range(3):
            assert problem(reader.get(f"/files/{entry['id']}/content"))[0] == 503
            assert is_turned_away(portal)
            assert reader.get("/users/me").status_code == 200  # who is connected needs none
        assert writer.put(f"/upload/{mark}-in-its-row", content=b"small").status_code == 201
        refused = writer.put(f"/upload/{mark}-refused", content=iter([b"small"]))
        assert problem(refused)[0] == 503
        assert refused.headers["retry-after"].isdigit()
        limit_descriptors(portal, None)
        assert eventually(lambda: not is_turned_away(portal))
        assert writer.put(f"/upload/{mark}-after", content=CONTENT).status_code == 201
        assert reader.get(f"/files/{entry['id']}/content").content == CONTENT
        listed = reader.get("/files", params={"name": mark}).json()["items"]
        assert [item["name"] for item in listed] == [f"{mark}-{when}" for when in ("after", "in-its-row", "before")]
    assert is_unharmed(portal)
    assert statuses(portal, f"{mark}-refused") == ["failed"]


def test_connections_that_take_every_descriptor_take_nothing_for_good(portal: Served) -> None:
    mark = secrets.token_hex(4)
    with portal.client("analyst") as analyst:
        entry = analyst.put(f"/upload/{mark}-before", content=CONTENT).json()
        limit_descriptors(portal, what_is_open(portal) + CROWD // 2)
        silent = [Wire(portal.port) for _ in range(CROWD)]  # each says nothing and stays
        assert eventually(lambda: is_turned_away(portal))
        for wire in silent:
            wire.leave()
        assert eventually(lambda: not is_turned_away(portal))
        assert analyst.get(f"/files/{entry['id']}/content").content == CONTENT
        assert analyst.put(f"/upload/{mark}-after", content=CONTENT).status_code == 201
    limit_descriptors(portal, None)
    assert is_unharmed(portal)
