"""Pending: also the answer to a bug is hardened, and readable for a page that may call the portal."""

import secrets

import httpx

from .conftest import Served
from .seen import a_bug, problem
from .test_head import HARDENED


def test_a_plain_500_is_hardened_too(portal: Served, analyst: httpx.Client) -> None:
    entry = analyst.put(f"/upload/{secrets.token_hex(8)}", content=b"x").json()
    with a_bug(portal, entry["id"]):
        failed = analyst.get(f"/files/{entry['id']}")
    assert problem(failed) == (500, "internal_error")
    assert failed.headers.items() >= HARDENED.items()
    assert failed.headers["cache-control"] == "no-store"
