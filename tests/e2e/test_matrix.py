"""Every route for every kind of caller: what `matrix_table` says, no more and no less, on a real server."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from portal import config
from portal.app import create_app

from .conftest import running
from .matrix_table import CALLERS, CODES, LOOKS_FOR, SAYS, TABLE
from .matrix_world import ACCOUNTS, ANY, MARK, OTHERS, Objects, World, spent
from .seen import problem, rows

HEADER, *LINES = [line.split() for line in TABLE.splitlines() if line]
ROWS = {" ".join(line[len(HEADER) :]): dict(zip(HEADER, line, strict=False)) for line in LINES}
SPENT = [
    "a session that signed out",
    "an access token that ended",
    "a disabled user's session",
    "a disabled user's API token",
    "an API token that was revoked",
    "a refresh token",
    "a password",
    "the secret of an invitation",
    "the secret of a new account",
    "the secret of a link",
    "the token of a link that was revoked",
]
WORDS = {
    (401, "not_signed_in"): "401",
    (403, "forbidden"): "403",
    (404, "not_found"): "404",
    (403, "insufficient_scope"): "less",
}
ENDS_SESSIONS = {"logout", "logout_all"}
ASIDE = {"audit", "sessions", "sign_in_throttles", "known_addresses", "sqlite_sequence"}
"""Tables that a refusal may leave something in: the record, sign-ins, and wrong passwords."""


@cache
def routes() -> dict[str, tuple[str, str]]:
    """Method and path of every route that the app has, by its name."""
    keys = {f"PORTAL_{name}": sha256(name.encode()).hexdigest() for name in ("MASTER_KEY", "SECRET_KEY")}
    app = create_app(*config.load(keys, Path("/nonexistent/.env")))
    shown: Any = list(iter_route_contexts(app.routes))
    found = [(str(route.name), method, route.path) for route in shown for method in route.methods]
    assert len({name for name, _, _ in found}) == len(found) > 50
    return {name: (method, path) for name, method, path in found}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("matrix") / "portal"
    everybody = ACCOUNTS | OTHERS
    with running(folder, {"REGISTRATION": "invite"}, **everybody) as portal, closing(World(portal)) as made:
        yield made


@pytest.fixture(scope="module")
def credentials(world: World) -> dict[str, str]:
    return spent(world)


@dataclass(frozen=True)
class Question:
    """One request of one row, with its objects named by their ids."""

    method: str
    path: str
    says: dict[str, Any]
    about: str | None

    def ask(self, client: httpx.Client) -> httpx.Response:
        return client.request(self.method, client.base_url.join(self.path), headers=ANY, **self.says)


def question(row: str, objects: Objects) -> Question:
    operation, *named = row.split()
    method, template = routes()[operation]
    names = iter(named)
    path = re.sub(r"{.+?}", lambda _: objects[next(names)], template)
    says = filled(SAYS.get(row, SAYS.get(operation, {})), objects)
    return Question(method, path, says, objects[LOOKS_FOR[row]] if row in LOOKS_FOR else None)


def filled(node: Any, objects: Objects) -> Any:
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
    """An answer, in the words of the table."""
    if answer.is_success:
        found = "seen" if asked.about and asked.about in answer.text else "none"
        return found if asked.about else str(answer.status_code)
    assert MARK not in answer.text
    assert (answer.status_code == 401) == answer.headers.get("www-authenticate", "").startswith("Bearer")
    if asked.method == "HEAD":
        return str(answer.status_code)
    status, code = problem(answer)
    return WORDS.get((status, code), str(status) if code == CODES.get(row) else f"{status} {code}")


def written(world: World) -> dict[str, set[Any]]:
    """Every row that a refusal has to leave as it is. When a token was last used is no change of it."""
    tables = [name for (name,) in rows(world.portal, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {}
    for table in set(tables) - ASIDE:
        columns = [column for _, column, *_ in rows(world.portal, f"PRAGMA table_info({table})")]  # ours
        kept = ", ".join(column for column in columns if column != "last_used_at")
        found[table] = set(rows(world.portal, f"SELECT {kept} FROM {table}"))  # noqa: S608  # the table's own names
    assert found["files"]
    return found


def succeeds(cell: str) -> bool:
    return cell in {"seen", "none"} or cell.startswith("2")


def in_short(row: str, cell: str) -> str:
    """A cell as HEAD can say it: without a code."""
    return "403" if cell == "less" and method_of(row) == "HEAD" else cell


def method_of(row: str) -> str:
    return routes()[row.split(maxsplit=1)[0]][0]


@pytest.mark.parametrize("row", ROWS)
def test_every_cell_of_the_matrix_is_as_written(world: World, row: str) -> None:
    cells = ROWS[row]
    asked = {who: question(row, Objects(world, who, world.shared)) for who in cells if not succeeds(cells[who])}
    before = written(world)
    answers = {who: told(row, said, said.ask(world.clients[who])) for who, said in asked.items()}
    after = written(world)
    for who in cells.keys() - asked.keys():
        safe = method_of(row) in {"GET", "HEAD"}
        said = question(row, Objects(world, who, world.shared if safe else None))
        answers[who] = told(row, said, said.ask(world.clients[who]))
        if row in ENDS_SESSIONS:
            world.sign_in_again(who)
    assert answers == {who: in_short(row, cell) for who, cell in cells.items()}
    assert after == before


@pytest.mark.parametrize("what", SPENT)
def test_what_is_good_for_nothing_is_nobody_everywhere(world: World, credentials: dict[str, str], what: str) -> None:
    asked = {row: question(row, Objects(world, "anon", world.shared)) for row in ROWS}
    with world.holding(credentials[what]) as client:
        answers = {row: told(row, said, said.ask(client)) for row, said in asked.items()}
    assert answers == {row: cells["anon"] for row, cells in ROWS.items()}


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert {row.split()[0] for row in ROWS} == set(routes())


def test_every_word_of_the_table_means_something(credentials: dict[str, str]) -> None:
    assert list(CALLERS) == HEADER
    assert len(ROWS) == len(LINES)
    assert {len(cells) for cells in ROWS.values()} == {len(CALLERS)}
    assert {key for said in (CODES, LOOKS_FOR) for key in said} <= ROWS.keys()
    assert SAYS.keys() <= ROWS.keys() | set(routes())
    assert list(credentials) == SPENT
