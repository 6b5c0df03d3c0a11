"""Names beside ids: for those who may know them, wherever an id of an account stands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Served, running
from .matrix_table import REASON
from .matrix_world import ANY, done

ACCOUNTS = {"ana": "analyst", "ben": "analyst", "cy": "analyst", "dan": "analyst", "upl": "uploader", "adm": "admin"}


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running(Path(tmp_path_factory.mktemp("names")), {}, **ACCOUNTS) as made:
        yield made


def test_names_stand_where_ids_do(portal: Served) -> None:
    with portal.client("ana") as ana, portal.client("adm") as adm, portal.client("ben") as ben:
        case = done(ana.post("/cases", json={"title": "a case"}))
        assert case["created_by_name"] == done(ana.get("/cases"))["items"][0]["created_by_name"] == "ana"
        member = done(adm.post(f"/cases/{case['id']}/members", json={"user_name": "ben", "role": "reader"}))
        assert (member["created_by_name"], member["disabled"]) == ("adm", False)
        file = done(ana.put("/upload/x", content=b"x", params={"case_id": case["id"]}))
        for entry in (file, done(ben.get(f"/files/{file['id']}")), done(ben.get("/files"))["items"][0]):
            assert (entry["owner_name"], entry["uploaded_by_name"]) == ("ana", "ana")
        given = done(ana.post(f"/files/{file['id']}/grants", json={"user_name": "cy"}))
        assert (given["user_name"], given["created_by_name"], given["case_id"]) == ("cy", "ana", case["id"])
        with portal.client("cy") as cy:
            (got,) = done(cy.get("/grants"))["items"]
            assert (got["file_id"], got["created_by_name"]) == (file["id"], "ana")
        for kind in ("download", "upload"):
            assert done(ana.post(f"/links/{kind}", json={"case_id": case["id"]}))["created_by_name"] == "ana"
        for url, who in (("/links", ana), (f"/cases/{case['id']}/links", adm)):
            assert done(who.get(url))["items"][0]["created_by_name"] == "ana"
        done(adm.post(f"/files/{file['id']}/break-glass", json={"reason": REASON}))
        adm.get(f"/files/{file['id']}/content")
        for url, who in ((f"/cases/{case['id']}/break-glass", ana), ("/break-glass", adm)):
            (glass,) = done(who.get(url))["items"]
            assert (glass["user_name"], glass["reason"], glass["case_id"]) == ("adm", REASON, case["id"])
            assert glass["created_at"] <= glass["first_read_at"] == glass["last_read_at"]
        done(adm.patch(f"/users/{member['user_id']}", json={"disabled": True}, headers=ANY))
        listed = done(ana.get(f"/cases/{case['id']}/members"))["items"]
        assert {one["user_name"]: one["disabled"] for one in listed} == {"ana": False, "ben": True}


def test_an_uploader_account_is_told_its_own_name_alone(portal: Served) -> None:
    with portal.client("ana") as ana, portal.client("upl") as upl:
        case = done(ana.post("/cases", json={"title": "a case"}))["id"]
        done(ana.post(f"/cases/{case}/members", json={"user_name": "upl", "role": "uploader"}))
        assert done(upl.get(f"/cases/{case}"))["created_by_name"] is None
        assert done(upl.put("/upload/x", content=b"x", params={"case_id": case}))["owner_name"] == "upl"
        mine = done(upl.put("/upload/y", content=b"y"))["id"]
        answers = [upl.post(f"/files/{mine}/grants", json={"user_name": name}) for name in ("ana", "nobody-at-all")]
        first, second = ({**answer.json(), "request_id": ""} for answer in answers)
    assert first == second
    assert (first["status"], first["code"]) == (403, "forbidden")


def test_a_leavers_inbox_is_transferred_by_the_route_and_the_command(portal: Served) -> None:
    with portal.client("adm") as adm, portal.client("dan") as dan:
        leaver = done(dan.get("/users/me"))["id"]
        file = done(dan.put("/upload/x", content=b"x"))["id"]
        refused = adm.post(f"/users/{leaver}/transfer", json={"to": "ana"})
        assert (refused.status_code, refused.json()["code"]) == (409, "inbox_in_use")
        done(adm.patch(f"/users/{leaver}", json={"disabled": True}, headers=ANY))
        assert done(adm.post(f"/users/{leaver}/transfer", json={"to": "ana"})) == {"files": 1}
        with portal.client("ana") as ana:
            assert ana.get(f"/files/{file}/content").content == b"x"
    assert portal.cli("users", "transfer", "dan", "--to", "ana").stdout.startswith("0 files")
