"""Accounts around cases, at one portal: those who work in them, those who hand in, and those who may not see them.

Comes in: a portal that serves. Leaves: a client of each account, and cases with members and files.
"""

import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx

from .served import Served

DESK = {
    "lead": "analyst",
    "contributor": "analyst",
    "reader": "analyst",
    "hands_in": "uploader",
    "stranger": "analyst",
    "outside": "uploader",
    "auditor": "auditor",
    "admin": "admin",
}
"""Accounts by name, and the members that `Desk.open_case` makes of some."""


@dataclass
class Desk:
    """A portal, and a client of everybody at it."""

    portal: Served
    clients: dict[str, httpx.Client]
    ids: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, who: str) -> httpx.Client:
        return self.clients[who]

    def id_of(self, who: str) -> str:
        if who not in self.ids:
            self.ids[who] = self[who].get("/users/me").json()["id"]
        return self.ids[who]

    def open_case(self) -> dict[str, Any]:
        """A case of the lead's with a contributor, a reader and somebody who hands in."""
        case: dict[str, Any] = self["lead"].post("/cases", json={"title": "the title of a case"}).json()
        for name, role in {"contributor": "contributor", "reader": "reader", "hands_in": "uploader"}.items():
            added = self["lead"].post(f"/cases/{case['id']}/members", json={"user_name": name, "role": role})
            assert added.status_code == 201, added.text
        return case

    def hand_in(self, case: dict[str, Any] | None, content: bytes = b"the case's") -> dict[str, Any]:
        """A file of the lead's, in a case or in their inbox."""
        params = {} if case is None else {"case_id": case["id"]}
        answer = self["lead"].put(f"/upload/{secrets.token_hex(8)}", content=content, params=params)
        assert answer.status_code == 201, answer.text
        entry: dict[str, Any] = answer.json()
        return entry
