"""Every route for every kind of caller: what `matrix_table` says, no more and no less, on a real server."""

import pytest

from .matrix_asks import filled, method_of, question, routes, succeeds, told, written
from .matrix_table import CALLERS, CODES, HEADER, LINES, LOOKS_FOR, PERMISSIONS, ROWS, SAYS
from .matrix_world import ANY, Objects, World, done, spent

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
ENDS_SESSIONS = {"logout", "logout_all"}


@pytest.fixture(scope="session")
def credentials(world: World) -> dict[str, str]:
    return spent(world)


def in_short(row: str, cell: str) -> str:
    """A cell as HEAD can say it: without a code."""
    return "403" if cell == "less" and method_of(row) == "HEAD" else cell


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
    if row == "revoke_all":
        world.renew()
    assert answers == {who: in_short(row, cell) for who, cell in cells.items()}
    assert after == before


@pytest.mark.parametrize("what", SPENT)
def test_what_is_good_for_nothing_is_nobody_everywhere(world: World, credentials: dict[str, str], what: str) -> None:
    asked = {row: question(row, Objects(world, "anon", world.shared)) for row in ROWS}
    with world.holding(credentials[what]) as client:
        answers = {row: told(row, said, said.ask(client)) for row, said in asked.items()}
    assert answers == {row: cells["anon"] for row, cells in ROWS.items()}


@pytest.mark.parametrize("who", ["tok", "upto", "conf"])
def test_an_api_token_is_worth_the_same_in_either_header(world: World, who: str) -> None:
    token = world.clients[who].headers["authorization"].removeprefix("Bearer ")
    rows = [row for row, cells in ROWS.items() if not succeeds(cells[who]) or method_of(row) in {"GET", "HEAD"}]
    asked = {row: question(row, Objects(world, who, world.shared)) for row in rows}
    with world.holding(None) as client:
        client.headers["X-API-Token"] = token
        answers = {row: told(row, said, said.ask(client)) for row, said in asked.items()}
    assert answers == {row: in_short(row, ROWS[row][who]) for row in rows}


GOOD_EVERYWHERE = {
    "read_me",
    "create_token",
    "redeem_link",
    "healthz",
    "readyz",
    "openapi",
    "docs",
    "asset stylesheet",
    "read_signing_keys",
}
OUTWARD = {
    "a file of the case into the inbox": ("POST", "/files/{in}/move", {"json": {"case_id": None}}),
    "a file of the case into another": ("POST", "/files/{in}/move", {"json": {"case_id": "{case}"}}),
    "a file of another case into it": ("POST", "/files/{case_file}/move", {"json": {"case_id": "{leads_case}"}}),
    "an upload to the inbox": ("PUT", "/upload/x", {"content": "x"}),
    "an upload to another case": ("PUT", "/upload/x", {"content": "x", "params": {"case_id": "{case}"}}),
    "a form for the inbox": ("POST", "/files", {"files": {"file": "x"}}),
    "a form for another case": ("POST", "/files", {"data": {"case_id": "{case}"}, "files": {"file": "x"}}),
    "the files of another case": ("GET", "/files", {"params": {"case_id": "{case}"}}),
}


def test_a_token_for_one_case_succeeds_nowhere_outside_of_it() -> None:
    assert {
        row for row, cells in ROWS.items() if succeeds(cells["conf"]) and cells["conf"] != "none"
    } == GOOD_EVERYWHERE


@pytest.mark.parametrize("what", OUTWARD)
def test_a_token_for_one_case_takes_nothing_across_its_border(world: World, what: str) -> None:
    method, path, says = OUTWARD[what]
    here = world.shared["leads_case"]
    inside = done(world.clients["lead"].put("/upload/x", content="x", params={"case_id": here}))["id"]
    objects = {**{name: world.shared[name] for name in ("case", "case_file", "leads_case")}, "in": inside}
    before = written(world)
    answer = world.clients["conf"].request(method, path.format(**objects), **filled(says, objects), headers=ANY)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert written(world) == before
    assert done(world.clients["conf"].get(f"/files/{inside}"))["case_id"] == here


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert {row.split()[0] for row in ROWS} == set(routes())


def test_every_word_of_the_table_means_something(credentials: dict[str, str]) -> None:
    assert list(CALLERS) == HEADER
    assert len(ROWS) == len(LINES)
    assert {len(cells) for cells in ROWS.values()} == {len(CALLERS)}
    assert {key for said in (CODES, LOOKS_FOR) for key in said} <= ROWS.keys()
    assert SAYS.keys() <= ROWS.keys() | set(routes())
    signed_in = {row.split()[0] for row, cells in ROWS.items() if cells["anon"] == "401"}
    assert sorted(signed_in) == sorted(name for names in PERMISSIONS.values() for name in names.split())
    assert list(credentials) == SPENT
