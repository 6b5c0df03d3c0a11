"""A full disk: what fits is whole, the rest is told so, reading goes on, and room that is made is used at once."""

import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from ..e2e.conftest import MakePortal
from ..e2e.seen import eventually, kept, known, problem
from . import invariants
from .conftest import Figures
from .small_disk import bring_home, filled, from_within, put_on_small_disk, run_within

DISK = 64 << 20
SIZE = 8 << 20
AT_ONCE = 20
FITTING = DISK // SIZE - 1  # a blob is larger than its file
FULL = (507, "storage_full")


def hand_in(client: httpx.Client) -> tuple[httpx.Response, str]:
    """The answer, and the digest of what was sent."""
    content = secrets.token_bytes(SIZE)
    return client.put(f"/upload/{secrets.token_hex(8)}", content=content), hashlib.sha256(content).hexdigest()


def acknowledged(answers: list[tuple[httpx.Response, str]]) -> dict[str, str]:
    """Digests by file id of what was taken in; everything else was refused as it should be."""
    taken = {}
    for answer, digest in answers:
        if answer.status_code == 201:
            taken[answer.json()["id"]] = digest
        else:
            assert problem(answer) == FULL
            assert answer.headers["retry-after"].isdigit()
    return taken


def fill(client: httpx.Client) -> dict[str, str]:
    """Many at once, then one after the other until one does not fit any more."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        taken = acknowledged(list(threads.map(hand_in, [client] * AT_ONCE)))
    print(f"{len(taken)} of {AT_ONCE} at once")
    for _ in range(FITTING + 1):
        one_more = acknowledged([hand_in(client)])
        if not one_more:
            return taken
        taken |= one_more
    pytest.fail("the disk does not get full")


def assert_readable(client: httpx.Client, taken: dict[str, str]) -> None:
    for file_id, digest in taken.items():
        assert hashlib.sha256(client.get(f"/files/{file_id}/content").content).hexdigest() == digest
    assert {item["id"] for item in client.get("/files").json()["items"]} >= set(taken)


def test_a_full_store_keeps_what_it_acknowledged_and_takes_more_when_there_is_room(
    make_portal: MakePortal, figures: Figures
) -> None:
    portal = make_portal()
    portal.prepare(analyst="analyst")
    put_on_small_disk(portal, portal.folder / "var" / "store", DISK)
    portal.start()
    within = from_within(portal)
    with portal.client("analyst") as analyst:
        taken = fill(analyst)
        assert 0 < len(taken) <= FITTING
        assert kept(within) == known(within)
        assert not kept(portal)  # the disk is nobody else's
        with filled(within.folder / "var" / "store"), portal.client("analyst") as another:
            assert acknowledged([hand_in(another)]) == {}
            assert_readable(another, taken)
            gone, _ = taken.popitem()
            assert another.delete(f"/files/{gone}", headers={"If-Match": "*"}).status_code == 204
            assert acknowledged([hand_in(another)]) == {}  # its bytes wait
            assert run_within(portal, "sweep", "--no-grace") == "settled 1\n"
            assert eventually(lambda: kept(within) == known(within))  # the filler lies beside them
            more = acknowledged([hand_in(another)])
            assert len(more) == 1
        assert_readable(analyst, taken | more)
    bring_home(portal, portal.folder / "var" / "store")
    invariants.assert_whole(portal, invariants.held(portal), taken | more)
    figures(at_once=AT_ONCE, taken_in_and_whole=len(taken | more), deleted_while_full=1)


def test_a_disk_too_full_for_the_database_refuses_and_recovers_without_a_restart(
    make_portal: MakePortal, figures: Figures
) -> None:
    portal = make_portal(DELETE_GRACE_DAYS="0")
    portal.prepare(analyst="analyst")
    put_on_small_disk(portal, portal.folder / "var", DISK)
    portal.start()
    data = from_within(portal).folder / "var"
    with portal.client("analyst") as analyst:
        taken = fill(analyst)
        assert 0 < len(taken) <= FITTING
        assert_readable(analyst, taken)
        gone = next(iter(taken))
        with filled(data):
            assert acknowledged([hand_in(analyst)]) == {}
            assert {item["id"] for item in analyst.get("/files").json()["items"]} == set(taken)
            assert analyst.get(f"/files/{gone}").status_code == 200
            # What cannot be put on record does not happen, whatever it is.
            assert problem(analyst.get(f"/files/{gone}/content")) == FULL
            assert problem(analyst.delete(f"/files/{gone}", headers={"If-Match": "*"})) == FULL
        assert_readable(analyst, taken)
        assert analyst.delete(f"/files/{gone}", headers={"If-Match": "*"}).status_code == 204
        del taken[gone]
        more = acknowledged([hand_in(analyst)])
        assert len(more) == 1
        assert_readable(analyst, taken | more)
    bring_home(portal, portal.folder / "var")
    invariants.assert_whole(portal, invariants.settled(portal), taken | more)
    assert "request_failed" not in portal.log
    figures(at_once=AT_ONCE, taken_in_and_whole=len(taken | more))
