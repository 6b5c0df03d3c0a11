"""`portal users create`: the password comes on standard input and is shown nowhere."""

import pytest

from portal.bootstrap import Portal
from portal.core.principal import NOWHERE

from .conftest import Ran, Shell

PASSWORD = "correct horse battery staple"


def create(shell: Shell, name: str = "alice", role: str = "analyst", *more: str, stdin: str = PASSWORD + "\n") -> Ran:
    return shell("users", "create", name, "--role", role, "--password-stdin", *more, stdin=stdin)


def signs_in(shell: Shell, name: str, password: str) -> str:
    async def sign_in(portal: Portal) -> str:
        return (await portal.identity.sessions.sign_in(name, password, NOWHERE)).scope

    return shell.inside(sign_in)


@pytest.mark.parametrize("role", ["admin", "analyst", "uploader", "auditor"])
def test_an_account_of_each_role_is_made(portal: Shell, role: str) -> None:
    ran = create(portal, "alice", role)
    assert (ran.code, ran.out, ran.err) == (0, f"created {role} alice\n", "")
    assert signs_in(portal, "alice", PASSWORD) == role


def test_a_new_account_is_told_in_json(portal: Shell) -> None:
    told = create(portal, "alice", "auditor", "--json").json
    assert (told["name"], told["role"]) == ("alice", "auditor")
    assert portal.query("SELECT id FROM users") == [(told["id"].replace("-", ""),)]


def test_a_new_account_is_on_record(portal: Shell) -> None:
    create(portal)
    (event,) = portal.record("user.created")
    assert event["actor"].startswith("system:cli/")
    assert event["details"] == {"name": "alice", "role": "analyst"}


@pytest.mark.parametrize("line_end", ["", "\n", "\r\n"])
def test_a_password_is_one_line_without_its_end(portal: Shell, line_end: str) -> None:
    spaced = "  spaces stay, 12 of them  "
    create(portal, stdin=f"{spaced}{line_end}")
    assert signs_in(portal, "alice", spaced) == "analyst"


def test_a_role_that_is_none_is_a_wrong_argument(portal: Shell) -> None:
    ran = create(portal, role="root")
    assert (ran.code, ran.out) == (2, "")
    assert portal.query("SELECT id FROM users") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("users", "create", "alice", "--role", "analyst"),
        ("users", "create", "alice", "--password-stdin"),
        ("users", "create", "--role", "analyst", "--password-stdin"),
        ("users", "create", "alice", "--role", "analyst", "--password", PASSWORD),
    ],
)
def test_what_is_missing_or_unknown_is_a_wrong_argument(portal: Shell, arguments: tuple[str, ...]) -> None:
    assert portal(*arguments, stdin=PASSWORD).code == 2
    assert portal.query("SELECT id FROM users") == []


@pytest.mark.parametrize("name", ["alice", "ALICE", "\uff41lice"])
def test_a_name_is_taken_once_however_it_is_written(portal: Shell, name: str) -> None:
    create(portal)
    ran = create(portal, name)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "portal: There is already a user of that name.\n"


@pytest.mark.parametrize("password", ["", "short", "11 letters!", "x" * 1025])
def test_a_password_that_will_not_do_is_refused(portal: Shell, password: str) -> None:
    ran = create(portal, stdin=password + "\n")
    assert (ran.code, ran.out) == (3, "")
    assert "12 characters" in ran.err
    assert portal.query("SELECT id FROM users") == []


@pytest.mark.parametrize("name", ["", "two words", "zero\u200bwidth", "a" * 65])
def test_a_name_that_will_not_do_is_refused(portal: Shell, name: str) -> None:
    assert create(portal, name).code == 3
    assert portal.query("SELECT id FROM users") == []


def test_the_password_is_never_shown(portal: Shell) -> None:
    for ran in (
        create(portal),
        create(portal),
        create(portal, "bob", "auditor", "--json"),
        create(portal, "two words"),
        create(portal, "eve", "root"),
    ):
        assert PASSWORD not in ran.out + ran.err
