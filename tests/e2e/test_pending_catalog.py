"""Pending: moments at the ends of time, numbers with ornaments, letters beyond ASCII."""

import secrets
from urllib.parse import quote

import httpx
import pytest

from .seen import problem


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("end", ["created_from", "created_to"])
def test_a_moment_outside_of_all_calendars_is_refused(analyst: httpx.Client, end: str, moment: str) -> None:
    assert problem(analyst.get("/files", params={end: moment})) == (422, "validation_failed")


@pytest.mark.parametrize("limit", ["+5", "1_0", " 5"])
def test_a_limit_is_digits_and_nothing_else(analyst: httpx.Client, limit: str) -> None:
    assert problem(analyst.get(f"/files?limit={quote(limit)}")) == (422, "validation_failed")


@pytest.mark.parametrize(("name", "part"), [("ÄPFEL.txt", "äpfel"), ("ЖУК", "жук")])
def test_the_name_filter_knows_the_case_of_every_alphabet(analyst: httpx.Client, name: str, part: str) -> None:
    mark = secrets.token_hex(8)
    entry = analyst.put(f"/upload/{mark}{quote(name)}", content=b"x").json()
    found = analyst.get("/files", params={"name": f"{mark}{part}"}).json()["items"]
    assert [item["id"] for item in found] == [entry["id"]]
