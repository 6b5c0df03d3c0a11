"""A portal whose master key is in OpenBao, while OpenBao is killed and comes back."""

import time
from collections.abc import Callable

import httpx
import pytest

from ..own_openbao import OwnOpenBao
from .conftest import MakePortal, Served
from .raw import Wire, bearer, head, length

_ATTEMPTS = 600  # a minute: machines may be busy
SMALL, LARGE = b"evidence", bytes(range(256)) * 1024


@pytest.fixture
def portal(make_portal: MakePortal, openbao: OwnOpenBao) -> Served:
    made = make_portal(KEY_URLS=openbao.url, VAULT_TOKEN=openbao.token())
    made.prepare(analyst="analyst")
    made.start()
    return made


def until(condition: Callable[[], bool]) -> None:
    for _ in range(_ATTEMPTS):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come about")


def is_ready(portal: Served) -> bool:
    answer = httpx.get(f"{portal.url}/readyz", timeout=60)
    assert answer.status_code == 200 or answer.json()["detail"] == "Away: key provider."
    return answer.status_code == 200


def test_a_portal_outlives_its_key_server(portal: Served, openbao: OwnOpenBao) -> None:
    with portal.client("analyst") as analyst:
        known, *new = [analyst.post("/cases", json={"title": "a case"}).json()["id"] for _ in range(3)]

        def upload(case: str, content: bytes) -> httpx.Response:
            return analyst.put("/upload/a.bin", params={"case_id": case}, content=content)

        files = {upload(known, content).json()["id"]: content for content in (SMALL, LARGE)}
        assert is_ready(portal)
        openbao.kill()
        with Wire(portal.port) as wire:
            wire.send(head("PUT", f"/api/v1/upload/a.bin?case_id={new[0]}", bearer(analyst), length(1 << 30)))
            answer = wire.answer()  # no byte of the body was sent
        assert (answer.status_code, answer.json()["code"]) == (503, "key_provider_away")
        assert answer.headers["retry-after"]
        assert upload(new[0], LARGE).status_code == 503
        files[upload(known, LARGE).json()["id"]] = LARGE  # its key is known
        assert {one: analyst.get(f"/files/{one}/content").content for one in files} == files
        until(lambda: not is_ready(portal))
        told = portal.cli("doctor", check=False)
        assert (told.returncode, "nothing listens there" in told.stdout) == (69, True)
        openbao.start()
        until(lambda: upload(new[0], SMALL).status_code == 201)
        until(lambda: is_ready(portal))
        files[upload(new[1], LARGE).json()["id"]] = LARGE
        portal.stop()
        portal.start()
    with portal.client("analyst") as analyst:
        assert {one: analyst.get(f"/files/{one}/content").content for one in files} == files
    assert '"event": "key_provider_away"' in portal.log
    assert '"event": "key_provider_back"' in portal.log
    assert portal.environment["PORTAL_VAULT_TOKEN"] not in portal.log + told.stdout + told.stderr
