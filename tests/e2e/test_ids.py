"""Ids in paths behave alike on every route: one that is no UUID is answered as one that nothing has."""

import re
from collections import defaultdict
from collections.abc import Iterator

import httpx
import pytest

from .matrix_asks import filled, routes
from .matrix_table import SAYS
from .matrix_world import ANY, World, opened

UNKNOWN = "0190f3a2-7c11-7d53-8e0c-5a1d2f3b4c5d"
WITH_IDS = sorted(name for name, (_, path) in routes().items() if "_id" in path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened(tmp_path_factory.mktemp("ids")) as world:
        yield world


def ask(world: World, name: str, given: str) -> httpx.Response:
    method, template = routes()[name]
    row = next((row for row in SAYS if row.split()[0] == name), "")
    says = filled(SAYS.get(row, {}), defaultdict(lambda: UNKNOWN, closed_number="2026-0001"))
    path = re.sub(r"{\w+_id:uuid}", given, template)
    client = world.clients["dlnk" if "/shared/" in path else "adm"]
    return client.request(method, client.base_url.join(path), headers=ANY, **says)


def test_every_id_in_a_path_is_a_uuid_by_its_route() -> None:
    assert len(WITH_IDS) > 25
    assert [path for _, path in routes().values() if "_id}" in path] == []


@pytest.mark.parametrize("name", WITH_IDS)
@pytest.mark.parametrize("given", ["42", "null", UNKNOWN[:-1], UNKNOWN + "0", f"{{{UNKNOWN}}}", f"urn:uuid:{UNKNOWN}"])
def test_an_id_that_is_none_is_answered_as_one_that_is_unknown(world: World, name: str, given: str) -> None:
    known, bad = ask(world, name, UNKNOWN), ask(world, name, given)
    assert (known.status_code, bad.status_code) == (404, 404)
    if known.request.method != "HEAD":
        assert bad.json() | {"request_id": ""} == known.json() | {"request_id": ""}
