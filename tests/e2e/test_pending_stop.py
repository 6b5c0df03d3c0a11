"""Pending: a portal that ended as it was told to says so by its exit code."""

import pytest

from .conftest import MakePortal
from .raw import Wire, bearer, head


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in the middle of a download"])
def test_told_to_stop_it_ends_with_exit_code_0(make_portal: MakePortal, *, busy: bool) -> None:
    portal = make_portal(GRACE_SECONDS="1")
    portal.prepare(analyst="analyst")
    portal.start()
    with portal.client("analyst") as analyst, Wire(portal.port, receive_buffer=1 << 14) as wire:
        if busy:
            entry = analyst.put("/upload/a.bin", content=bytes(32 << 20)).json()
            wire.send(head("GET", f"/api/v1/files/{entry['id']}/content", bearer(analyst)))
            assert wire.read(1 << 14).startswith(b"HTTP/1.1 200")
        assert portal.stop() == 0
