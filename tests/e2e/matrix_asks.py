"""The rows of the access matrix as requests, and answers in its words.

Comes in: a row, and the objects of `matrix_world`. Leaves: a `Question` to ask as anybody, and what the portal told.
"""

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from portal import config
from portal.app import create_app

from ..conftest import NO_DOTENV
from .matrix_table import CODES, LOOKS_FOR, SAYS
from .matrix_world import ANY, CONTENT, MARK, Objects, World
from .seen import problem

WORDS = {
    (401, "not_signed_in"): "401",
    (403, "forbidden"): "403",
    (404, "not_found"): "404",
    (403, "insufficient_scope"): "less",
}
MOVES = {("api_tokens", "last_used_at"), ("link_uses", "status")}
ASIDE = {"audit", "jobs", "sessions", "sign_in_throttles", "known_addresses", "sqlite_sequence"}
ASIDE |= {"shreddings", "receipts", "signing_keys", "name_index", "indexed_files", "name_trigrams"}
"""Tables that change beside a refusal: the record, sign-ins, wrong passwords; and what jobs do by themselves, which end
a shredding with its receipt, and index names.
"""


@cache
def app() -> FastAPI:
    """One that opens nothing."""
    keys = {f"PORTAL_{name}": sha256(name.encode()).hexdigest() for name in ("MASTER_KEY", "SECRET_KEY")}
    return create_app(*config.load(keys, NO_DOTENV))


@cache
def routes() -> dict[str, tuple[str, str]]:
    """Method and path of every route that the app has, by its name."""
    shown: Any = list(iter_route_contexts(app().routes))
    found = [(str(route.name), method, route.path) for route in shown for method in route.methods]
    assert len({name for name, _, _ in found}) == len(found) > 50
    return {name: (method, path) for name, method, path in found}


def method_of(row: str) -> str:
    return routes()[row.split(maxsplit=1)[0]][0]


@dataclass(frozen=True)
class Question:
    """One request of one row, with its objects named by their ids."""

    method: str
    path: str
    says: dict[str, Any]
    about: str | None

    def ask(self, client: httpx.Client, **more: Any) -> httpx.Response:
        """`more` stands beside what the row says, or in its place."""
        sent = {"headers": ANY, **self.says, **more}
        return client.request(self.method, client.base_url.join(self.path), **sent)


def question(row: str, objects: Objects) -> Question:
    operation, *named = row.split()
    method, template = routes()[operation]
    names = iter(named)
    path = re.sub(r"{.+?}", lambda _: objects[next(names)], template)
    says = filled(SAYS.get(row, SAYS.get(operation, {})), objects)
    return Question(method, path, says, objects[LOOKS_FOR[row]] if row in LOOKS_FOR else None)


def filled(node: Any, objects: Mapping[str, str]) -> Any:
    """What is sent, with ids where objects are named."""
    match node:
        case dict():
            return {key: filled(value, objects) for key, value in node.items()}
        case list():
            return [filled(value, objects) for value in node]
        case str():
            return node.format_map(objects)
        case _:
            return node


def told(row: str, asked: Question, answer: httpx.Response) -> str:
    """An answer, in the words of the table. None sets a cookie, and no refusal tells what it refuses."""
    assert "set-cookie" not in answer.headers
    if answer.is_redirect:
        return str(answer.status_code)
    assert (CONTENT in answer.text) == (answer.is_success and row.startswith("download_"))
    if answer.is_success:
        found = "seen" if asked.about and asked.about in answer.text else "none"
        return found if asked.about else str(answer.status_code)
    assert MARK not in answer.text
    challenged = answer.headers.get("www-authenticate", "").startswith("Bearer")
    if asked.method == "HEAD":
        assert challenged or answer.status_code != 401
        return str(answer.status_code)
    status, code = problem(answer)
    assert challenged == (status == 401 or code == "insufficient_scope")
    return WORDS.get((status, code), str(status) if code == CODES.get(row) else f"{status} {code}")


def succeeds(cell: str) -> bool:
    return cell in {"seen", "none"} or cell.startswith("2")


def written(world: World) -> dict[str, set[Any]]:
    """Every row that a refusal has to leave as it is. When a token was last used is no change of it, nor
    that a link's use has ended: a download ends behind its last byte.
    """
    found = {}
    with closing(sqlite3.connect(world.portal.folder / "var" / "portal.db")) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table not in ASIDE:
                columns = [column for _, column, *_ in connection.execute(f"PRAGMA table_info({table})")]  # ours
                kept = ", ".join(column for column in columns if (table, column) not in MOVES)
                found[table] = set(connection.execute(f"SELECT {kept} FROM {table}"))  # noqa: S608  # its own names
    assert found["files"]
    return found
