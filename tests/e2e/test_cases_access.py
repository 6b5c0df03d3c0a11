"""Who may do what with a case and what lies in it: every kind of caller by every route, on a real server."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest

from .desk import DESK, Desk
from .seen import problem

ANY = {"If-Match": "*"}
CONTENT = b"the case's"
REASON = "Court order 26/1187 of 21 November."
CALLERS = ("anonymous", *DESK)
TABLE = {
    #                  anonymous, lead, contributor, reader, hands_in, stranger, outside, auditor, admin
    "open a case": (401, 201, 201, 201, 403, 201, 403, 403, 201),
    "list cases": (401, "seen", "seen", "seen", "seen", "unseen", "unseen", "seen", "seen"),
    "read the case": (401, 200, 200, 200, 200, 404, 404, 200, 200),
    "change the case": (401, 200, 403, 403, 403, 404, 404, 403, 200),
    "close the case": (401, 200, 403, 403, 403, 404, 404, 403, 200),
    "delete the case": (401, 409, 403, 403, 403, 404, 404, 403, 409),
    "list members": (401, 200, 200, 200, 403, 404, 404, 200, 200),
    "add a member": (401, 201, 403, 403, 403, 404, 404, 403, 201),
    "change a member": (401, 200, 403, 403, 403, 404, 404, 403, 200),
    "remove a member": (401, 204, 403, 403, 403, 404, 404, 403, 204),
    "list broken glass": (401, 200, 403, 403, 403, 404, 404, 200, 200),
    "upload a body": (401, 201, 201, 403, 201, 404, 404, 403, 403),
    "upload a form": (401, 201, 201, 403, 201, 404, 404, 403, 403),
    "list its files": (401, "seen", "seen", "seen", "unseen", 404, 404, "seen", "seen"),
    "list all files": (401, "seen", "seen", "seen", "unseen", "unseen", "unseen", "seen", "seen"),
    "read the file": (401, 200, 200, 200, 404, 404, 404, 200, 200),
    "download the file": (401, 200, 200, 200, 404, 404, 404, 403, 403),
    "head the file": (401, 200, 200, 200, 404, 404, 404, 403, 403),
    "change the file": (401, 200, 200, 403, 404, 404, 404, 403, 200),
    "delete the file": (401, 204, 403, 403, 404, 404, 404, 403, 204),
    "move the file": (401, 200, 403, 403, 404, 404, 404, 403, 403),
    "break glass": (401, 403, 403, 403, 404, 404, 404, 403, 201),
}
CELLS = [(who, action, answer) for action, row in TABLE.items() for who, answer in zip(CALLERS, row, strict=True)]
CODES = {401: "not_signed_in", 403: "forbidden", 404: "not_found", 409: "case_not_empty"}


ASKED: dict[str, Callable[["Question"], httpx.Response]] = {
    "open a case": lambda q: q.client.post("/cases", json={"title": "mine"}),
    "list cases": lambda q: q.client.get("/cases", params={"limit": 200}),
    "read the case": lambda q: q.client.get(q.case),
    "change the case": lambda q: q.client.patch(q.case, json={"title": "x"}, headers=ANY),
    "close the case": lambda q: q.client.patch(q.case, json={"status": "closed"}, headers=ANY),
    "delete the case": lambda q: q.client.delete(q.case, headers=ANY),
    "list members": lambda q: q.client.get(f"{q.case}/members"),
    "add a member": lambda q: q.client.post(f"{q.case}/members", json={"user_name": "stranger", "role": "reader"}),
    "change a member": lambda q: q.client.put(f"{q.case}/members/{q.other}", json={"role": "contributor"}),
    "remove a member": lambda q: q.client.delete(f"{q.case}/members/{q.other}"),
    "list broken glass": lambda q: q.client.get(f"{q.case}/break-glass"),
    "upload a body": lambda q: q.client.put("/upload/x", content=CONTENT, params={"case_id": q.case_id}),
    "upload a form": lambda q: q.client.post("/files", data={"case_id": q.case_id}, files={"file": ("x", CONTENT)}),
    "list its files": lambda q: q.client.get("/files", params={"case_id": q.case_id}),
    "list all files": lambda q: q.client.get("/files", params={"limit": 200}),
    "read the file": lambda q: q.client.get(q.file),
    "download the file": lambda q: q.client.get(f"{q.file}/content"),
    "head the file": lambda q: q.client.head(f"{q.file}/content"),
    "change the file": lambda q: q.client.patch(q.file, json={"description": "x"}, headers=ANY),
    "delete the file": lambda q: q.client.delete(q.file, headers=ANY),
    "move the file": lambda q: q.client.post(f"{q.file}/move", json={"case_id": q.case_id}, headers=ANY),
    "break glass": lambda q: q.client.post(f"{q.file}/break-glass", json={"reason": REASON}),
}


@dataclass
class Question:
    """Who asks, of what; `other` is a member that is somebody else."""

    client: httpx.Client
    case_id: str
    file_id: str
    other: str

    @property
    def case(self) -> str:
        return f"/cases/{self.case_id}"

    @property
    def file(self) -> str:
        return f"/files/{self.file_id}"


def ask(desk: Desk, who: str, action: str, case_id: str, file_id: str) -> httpx.Response:
    other = desk.id_of("contributor" if who == "reader" else "reader")
    return ASKED[action](Question(desk[who], case_id, file_id, other))


@pytest.mark.parametrize(("who", "action", "expected"), CELLS, ids=[f"{who} {action}" for who, action, _ in CELLS])
def test_the_table_of_cases_holds(desk: Desk, who: str, action: str, expected: int | str) -> None:
    case = desk.open_case()
    entry = desk.hand_in(case)
    answer = ask(desk, who, action, case["id"], entry["id"])
    if isinstance(expected, str):
        assert answer.status_code == 200
        wanted = case["id"] if action == "list cases" else entry["id"]
        assert (wanted in [item["id"] for item in answer.json()["items"]]) is (expected == "seen")
        return
    assert answer.status_code == expected
    if expected in CODES and action != "head the file":
        assert problem(answer) == (expected, CODES[expected])
    if expected >= 400:
        assert CONTENT not in answer.content
        assert case["title"] not in answer.text
        assert desk["lead"].get(f"/files/{entry['id']}").json() == entry
        assert desk["lead"].get(f"/cases/{case['id']}").json() == case


@pytest.mark.parametrize("action", [action for action, row in TABLE.items() if row[5] == 404])
def test_what_nobody_has_looks_like_what_others_have(desk: Desk, action: str) -> None:
    case = desk.open_case()
    theirs = ask(desk, "stranger", action, case["id"], desk.hand_in(case)["id"])
    nobodys = ask(desk, "stranger", action, str(uuid.uuid4()), str(uuid.uuid4()))
    assert (theirs.status_code, nobodys.status_code) == (404, 404)
    if action != "head the file":
        bodies = [answer.json() | {"request_id": ""} for answer in (theirs, nobodys)]
        assert bodies[0] == bodies[1]


def test_the_table_has_a_row_for_every_question() -> None:
    assert set(TABLE) == set(ASKED)
