"""Pending: a session that ends takes its running downloads with it."""

import secrets

import httpx

from .conftest import Served
from .raw import Wire, bearer, head
from .seen import eventually, outcomes


def test_a_session_that_ends_during_a_download_ends_the_download(portal: Served, analyst: httpx.Client) -> None:
    size = 48 << 20
    entry = analyst.put(f"/upload/{secrets.token_hex(8)}", content=bytes(size)).json()
    with portal.client("analyst") as leaving, Wire(portal.port, receive_buffer=1 << 14) as wire:
        wire.send(head("GET", f"/api/v1/files/{entry['id']}/content", bearer(leaving)))
        received = len(wire.read(1 << 14))
        assert leaving.post("/auth/logout").status_code == 204

        def is_over() -> bool:
            nonlocal received
            piece = wire.read(1 << 14)  # slowly: sixteen kibibytes a look
            received += len(piece)
            return not piece

        assert eventually(is_over)
        assert received < size
    assert eventually(lambda: outcomes(portal, entry["id"]) not in ([], ["finished"]))
    analyst.delete(f"/files/{entry['id']}", headers={"If-Match": "*"})
