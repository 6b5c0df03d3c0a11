"""Pending: who is calling is asked before anything else."""

import secrets

import httpx
import pytest

from .conftest import Served
from .raw import FORM, Wire, bearer, head, length
from .seen import problem


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_an_anonymous_change_without_a_version_is_not_signed_in(
    portal: Served, analyst: httpx.Client, method: str
) -> None:
    entry = analyst.put(f"/upload/{secrets.token_hex(8)}", content=b"x").json()
    body = b'{"kind": "log"}' if method == "PATCH" else b""
    headers = {"Content-Type": "application/json"}
    url = f"{portal.url}/api/v1/files/{entry['id']}"
    assert problem(httpx.request(method, url, content=body, headers=headers)) == (401, "not_signed_in")


def test_an_anonymous_change_is_not_read(portal: Served) -> None:
    url = f"{portal.url}/api/v1/files/{'0' * 32}"
    headers = {"If-Match": "*", "Content-Type": "application/json"}
    assert problem(httpx.patch(url, content=b"{", headers=headers)) == (401, "not_signed_in")


def test_an_auditor_is_refused_before_the_form_is_read(portal: Served) -> None:
    with portal.client("auditor") as auditor, Wire(portal.port) as wire:
        wire.send(head("POST", "/api/v1/files", bearer(auditor), FORM, length(10_000_000), "Expect: 100-continue"))
        assert problem(wire.answer()) == (403, "forbidden")
        assert wire.ended()
