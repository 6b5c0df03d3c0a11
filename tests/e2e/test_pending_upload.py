"""Pending: uploads that say more than was listened to."""

import secrets

import httpx

from .conftest import Served
from .raw import Wire, bearer, head, length
from .seen import problem, statuses

WRONG = f"sha-256=:{'A' * 43}=:"


def test_a_part_of_a_file_is_not_taken_for_the_whole(portal: Served, analyst: httpx.Client) -> None:
    name = secrets.token_hex(8)
    refused = analyst.put(f"/upload/{name}", content=b"56789", headers={"Content-Range": "bytes 5-9/10"})
    assert problem(refused) == (400, "invalid_input")
    assert statuses(portal, name) == []


def test_a_digest_on_a_line_of_its_own_is_compared(portal: Served, analyst: httpx.Client) -> None:
    name = secrets.token_hex(8)
    lines = ["Repr-Digest: sha-512=:AAAA:", f"Repr-Digest: {WRONG}"]
    with Wire(portal.port) as wire:
        wire.send(head("PUT", f"/api/v1/upload/{name}", bearer(analyst), length(1), *lines), b"x")
        assert problem(wire.answer()) == (400, "digest_mismatch")
    assert statuses(portal, name) == ["failed"]


def test_a_repeated_upload_is_compared_with_what_it_announces(analyst: httpx.Client) -> None:
    under, target = {"Idempotency-Key": secrets.token_hex(8)}, f"/upload/{secrets.token_hex(8)}"
    assert analyst.put(target, content=b"x", headers=under).status_code == 201
    again = analyst.put(target, content=b"x", headers=under | {"Repr-Digest": WRONG})
    assert problem(again) == (400, "digest_mismatch")
    assert analyst.put(target, content=b"x", headers=under).status_code == 201
